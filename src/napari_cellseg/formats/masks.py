"""Masks made elsewhere: read, understood (which side is the class?) and paired with images."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.instance_rings import looks_like_cells, ring_labels
from napari_cellseg.images.micrographs import read_image, stem
from napari_cellseg.images.readers.pictures import palette_indices

logger = logging.getLogger(__name__)

Polarity = Literal["dark", "bright", "labels", "instances", "points"]

SMALL_SHARE = 0.4  # a class rarely fills more of a picture than this, a background rarely less
GREY_LEVELS = 16  # what JPG compression makes of equal channels
MIDDLE_SHARE = 0.5  # of the smaller side, left between the two by compression along outlines
SHOWN = 10  # names in an error


@dataclass(frozen=True)
class PolaritySuggestion:
    """What a mask looks like; shown to a person, never applied unasked.

    Parameters
    ----------
    polarity : {"dark", "bright", "labels", "instances"}
        The side that looks like the class.
    share : float
        Share of the area the class would have.
    reason : str
        One sentence that says why.
    """

    polarity: Polarity
    share: float
    reason: str


def read_mask(path: str | Path) -> NDArray[Any]:
    """Return a mask's plane as it is stored; RGB of equal channels becomes one.

    Parameters
    ----------
    path : str or Path
        PNG, JPG, TIFF, MRC or OME-Zarr. Of a palette PNG the indices count, not the colours.

    Returns
    -------
    (y, x)

    Raises
    ------
    CellsegError
        If the file cannot be read or is in colour.
    """
    path = Path(path).expanduser()
    image = read_image(path)
    indices = palette_indices(path)
    if indices is not None:
        return indices
    planes = image.read(slice(None), slice(None))
    if len(planes) == 1:
        plane: NDArray[Any] = planes[0]
        return plane
    first, levels = planes[0].astype(np.int64), 0
    for other in planes[1:]:
        levels = max(levels, int(np.abs(other.astype(np.int64) - first).max()))
    if levels > GREY_LEVELS:
        raise CellsegError(
            f"{path.name}: a mask in colour or of {len(planes)} channels",
            "one plane: a two-valued picture or label numbers",
            "save it in greys, or as label numbers (0 = background, 1.. = classes)",
        )
    folded: NDArray[Any] = planes[0]
    return folded


def suggest_polarity(plane: NDArray[Any]) -> PolaritySuggestion:
    """Return which side of a mask looks like the class, and why.

    Parameters
    ----------
    plane : (y, x)
        A mask of any real type.

    Examples
    --------
    >>> drawn = np.full((10, 10), 255)
    >>> drawn[2] = 0
    >>> suggest_polarity(drawn).polarity
    'dark'
    """
    if not is_two_sided(plane):
        share = float(np.count_nonzero(plane)) / plane.size
        if looks_like_cells(plane):
            count = len(np.unique(plane)) - 1
            return PolaritySuggestion(
                "instances", share, f"its {count} numbers look like those of single cells"
            )
        return PolaritySuggestion("labels", share, f"it has more than two values; {share:.1%} is not 0")
    bright = float(np.count_nonzero(_bright_side(plane))) / plane.size
    if 0 < 1 - bright < SMALL_SHARE:
        return PolaritySuggestion(
            "dark", 1 - bright, f"the darker side fills only {1 - bright:.1%} of the area"
        )
    return PolaritySuggestion("bright", bright, f"the brighter side fills {bright:.1%} of the area")


def mask_to_labels(plane: NDArray[Any], polarity: Polarity) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a mask as annotation indices: 1 = background, 2.. = classes.

    Every pixel says something, so no 0 (not annotated) comes out.

    Parameters
    ----------
    plane : (y, x)
        As `read_mask` returns it.
    polarity : {"dark", "bright", "labels", "instances"}
        Which side of a two-valued mask is the class, cut midway between the extremes;
        ``labels``: 0 is background and k is class k, which becomes k + 1; ``instances``: 0 is
        background and k is cell k, of which the rings are the classes (`images.instance_rings`).

    Returns
    -------
    (y, x) uint8, or uint16 beyond 254 classes

    Raises
    ------
    CellsegError
        If the polarity does not fit the values.

    Examples
    --------
    >>> mask_to_labels(np.array([[0, 255, 253]]), "bright")
    array([[1, 2, 2]], dtype=uint8)
    >>> mask_to_labels(np.array([[0, 1, 4]]), "labels")
    array([[1, 2, 5]], dtype=uint8)
    """
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        raise CellsegError("the mask has NaN or infinite values", "finite ones", "save it as whole numbers")
    if polarity == "labels":
        return _label_numbers(plane)
    if polarity == "instances":
        return ring_labels(plane)
    if polarity == "points":
        raise CellsegError("a mask read as points", "a table of points, X and Y", "give its polarity")
    if not is_two_sided(plane) and not _nearly_two_valued(plane):
        values = ", ".join(f"{value:g}" for value in np.unique(plane)[:5])
        raise CellsegError(
            f"the mask has more than two values ({values} ...): {polarity!r} does not say which is the class",
            "a two-valued mask, or the polarity 'labels'",
            "use --polarity labels where its numbers are classes",
        )
    bright = _bright_side(plane)
    return np.where(bright == (polarity == "bright"), 2, 1).astype(np.uint8)


def is_two_sided(plane: NDArray[Any]) -> bool:
    """Return whether a mask has two sides rather than label numbers.

    It does with at most two values, with broken numbers (a probability), or with hardly
    anything between black and white (JPG compression).

    Examples
    --------
    >>> is_two_sided(np.array([0, 1, 1])), is_two_sided(np.array([0, 1, 2]))
    (True, False)
    """
    low, high = plane.min(), plane.max()
    if ((plane == low) | (plane == high)).all():
        return True
    if plane.dtype.kind == "f" and (plane != np.rint(plane)).any():
        return True
    # a few exact values are labels, with 255 or so for something special
    sample = plane.reshape(-1)[:: plane.size // 1_000_000 + 1]
    return _nearly_two_valued(plane) and len(np.unique(sample)) > 4


def _nearly_two_valued(plane: NDArray[Any]) -> bool:
    low, high = float(plane.min()), float(plane.max())
    if not 128 <= high <= 255:
        return False
    quarter = (high - low) / 4
    dark, bright = np.count_nonzero(plane <= low + quarter), np.count_nonzero(plane >= high - quarter)
    return bool(plane.size - dark - bright <= MIDDLE_SHARE * min(dark, bright))


def _bright_side(plane: NDArray[Any]) -> NDArray[np.bool_]:
    low, high = float(plane.min()), float(plane.max())
    if low == high:  # one value only: 0 is dark, anything else bright
        return np.full(plane.shape, low != 0)
    side: NDArray[np.bool_] = plane > (low + high) / 2
    return side


def _label_numbers(plane: NDArray[Any]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    low, high = plane.min(), plane.max()
    if low < 0 or high > 65534 or (plane.dtype.kind == "f" and (plane != np.rint(plane)).any()):
        raise CellsegError(
            f"the mask has values from {low:g} to {high:g}",
            "whole label numbers from 0 to 65,534",
            "use --polarity dark or bright for a two-valued mask",
        )
    if high < 255:
        return plane.astype(np.uint8) + np.uint8(1)
    return plane.astype(np.uint16) + np.uint16(1)


def pair_masks(images: Sequence[Path], masks: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return each image with its mask, in the order of the images.

    Names are compared without suffixes. Equal ones pair; so do those with a common
    beginning that ends at a separator (``_ - .`` or a blank) and is the whole of one name
    (``a`` and ``a_mask``), or of both but for one word without digits (``a_1_raw`` and
    ``a_1_mask``). The longest beginning wins, so ``mic_1`` never takes ``mic_10_mask``.

    Raises
    ------
    CellsegError
        If an image or a mask has no partner or several; they are listed.

    Examples
    --------
    >>> pairs = pair_masks([Path("a.tif"), Path("b.tif")], [Path("b_mask.png"), Path("a_mask.png")])
    >>> [mask.name for _, mask in pairs]
    ['a_mask.png', 'b_mask.png']
    """
    by_beginning: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for image in images:
        for key in _beginnings(stem(image)):
            by_beginning[key].append(image)
    wanted: dict[Path, list[Path]] = {image: [] for image in images}
    problems: dict[str, list[str]] = defaultdict(list)
    for mask in masks:
        found = _candidates(stem(mask), by_beginning)
        if len(found) == 1:
            wanted[found[0]].append(mask)
        elif found:
            problems["masks that fit several images"].append(
                f"{mask.name} ({_listed(p.name for p in found)})"
            )
        else:
            problems["masks without an image"].append(mask.name)
    for image, partners in wanted.items():
        if not partners:
            problems["images without a mask"].append(image.name)
        elif len(partners) > 1:
            names = _listed(sorted(partner.name for partner in partners))
            problems["images with several masks"].append(f"{image.name} ({names})")
    if problems:
        raise CellsegError(
            "; ".join(f"{len(names)} {what}: {_listed(sorted(names))}" for what, names in problems.items()),
            "one mask for each image, with the same beginning of its name",
            "rename or leave out what does not pair",
        )
    return [(image, partners[0]) for image, partners in wanted.items()]


def _candidates(name: str, by_beginning: dict[tuple[str, str], list[Path]]) -> list[Path]:
    """Return the images that share the longest beginning with a mask's name."""
    best: tuple[int, list[Path]] = (0, [])
    partner = {"whole": ("whole", "part", "worded"), "part": ("whole",), "worded": ("whole", "worded")}
    for beginning, kind in _beginnings(name):
        for other in partner[kind]:
            images = by_beginning.get((beginning, other), [])
            # of the same length: equal names before a name that is the beginning before both cut
            rank = 3 * len(beginning) + (kind == "whole") + (other == "whole")
            if images and rank > best[0]:
                best = (rank, list(images))
            elif images and rank == best[0]:
                best[1].extend(image for image in images if image not in best[1])
    return best[1]


def _beginnings(name: str) -> Iterator[tuple[str, str]]:
    """Yield the beginnings of a name that end at a separator, and how much is left behind them."""
    yield name, "whole"
    for cut in re.finditer(r"[-_. ]+", name):
        if cut.start():
            rest = name[cut.end() :]
            yield name[: cut.start()], "worded" if re.fullmatch(r"[^\W\d_]+", rest) else "part"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - SHOWN
    return ", ".join(every[:SHOWN]) + (f" and {more} more" if more > 0 else "")
