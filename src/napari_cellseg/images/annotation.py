"""What people say about an image: the classes, and the plane of them painted over it."""

import colorsys
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.splits import Split, split_images, split_windows, window_is_validation

if TYPE_CHECKING:
    from napari_cellseg.images.micrographs import Image

__all__ = [
    "BACKGROUND",
    "NOT_ANNOTATED",
    "Annotation",
    "Classes",
    "Split",
    "check_trainable",
    "count_labels",
    "leave_out",
    "plane_blocks",
    "split_images",
    "split_windows",
    "window_is_validation",
]

NOT_ANNOTATED = "not annotated"
BACKGROUND = "background"
MAX_CLASSES = 256  # labels are written as uint8

# Okabe and Ito, https://jfly.uni-koeln.de/color/: told apart with any colour vision
_TRANSPARENT, _SKY = "#00000000", "#56b4e9"
_TARGETS = ("#e69f00", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2")


@dataclass(frozen=True)
class Classes:
    """Ordered names and colours; a pixel of a label plane holds an index into them.

    Index 0 is "not annotated" (ignored everywhere), 1 "background", 2.. what is looked for.
    Channel k of a network's output is the class with index k + 1.

    Parameters
    ----------
    names : tuple of str
        All names, ``"not annotated"`` and ``"background"`` first.
    colors : tuple of str
        One ``"#rrggbb"`` or ``"#rrggbbaa"`` for each name.

    Raises
    ------
    CellsegError
        If a name is empty or occurs twice, or a colour is not one.

    Examples
    --------
    >>> classes = Classes.of("filament", "carbon")
    >>> len(classes), classes.index("filament"), classes.targets
    (4, 2, ('filament', 'carbon'))
    """

    names: tuple[str, ...]
    colors: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.names[:2] != (NOT_ANNOTATED, BACKGROUND):
            raise CellsegError(f"classes {list(self.names)}", f"'{NOT_ANNOTATED}' and '{BACKGROUND}' first")
        if len(self.names) > MAX_CLASSES:
            raise CellsegError(f"{len(self.names)} classes", f"at most {MAX_CLASSES}")
        for name in self.names:
            if not name.strip():
                raise CellsegError("a class without a name", remedy="give every class a name")
            if self.names.count(name) > 1:
                raise CellsegError(f"class '{name}' occurs twice", "different names")
        if len(self.colors) != len(self.names):
            raise CellsegError(f"{len(self.colors)} colours for {len(self.names)} classes", "as many")
        for color in self.colors:
            if not re.fullmatch(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{8})", color):
                raise CellsegError(f"colour '{color}'", "'#rrggbb' or '#rrggbbaa'")

    @classmethod
    def of(cls, *targets: str) -> Self:
        """Return the classes for these names, in colours that any eye tells apart."""
        colors = (_TRANSPARENT, _SKY, *(_target_color(i) for i in range(len(targets))))
        return cls((NOT_ANNOTATED, BACKGROUND, *targets), colors)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of what is looked for: those from index 2 on."""
        return self.names[2:]

    def index(self, name: str) -> int:
        """Return the label of the class `name`.

        Raises
        ------
        CellsegError
            If there is no such class.
        """
        if name not in self.names:
            raise CellsegError(f"no class '{name}'", f"one of {', '.join(self.names[1:])}")
        return self.names.index(name)

    def added(self, name: str, color: str | None = None) -> Self:
        """Return these classes and one more at the end, in the next free colour if none is given."""
        color = color or _target_color(len(self.targets))
        return type(self)((*self.names, name), (*self.colors, color))

    def to_json(self) -> dict[str, Any]:
        """Return ``{"names": [...], "colors": [...]}``, ready for `json.dumps`."""
        return {"names": list(self.names), "colors": list(self.colors)}

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return the classes that `to_json` described.

        Raises
        ------
        CellsegError
            If `values` is something else.
        """
        try:
            names, colors = values["names"], values["colors"]
        except (KeyError, TypeError):
            raise CellsegError(f"classes {values!r}", "an object with 'names' and 'colors'") from None
        if not all(isinstance(item, str) for item in (*names, *colors)):
            raise CellsegError(f"classes {values!r}", "names and colours as texts")
        return cls(tuple(names), tuple(colors))


@dataclass(frozen=True, eq=False)
class Annotation:
    """An image and the plane of class indices somebody painted over it.

    Parameters
    ----------
    image : Image
        The image, (y, x) or (c, y, x).
    labels : (y, x) integer array
        0 = not annotated (ignored), 1 = background, 2.. = classes; numpy, zarr or dask.
    classes : Classes
        What the indices mean.
    dense : bool
        Every pixel is annotated: no 0 occurs.

    Raises
    ------
    CellsegError
        If the plane has another size than the image, is not of integers, holds an index
        without a class, or is called dense and is not.
    """

    image: "Image"
    labels: Any
    classes: Classes
    dense: bool = False
    _counts: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        name = self.image.name
        if tuple(self.labels.shape) != tuple(self.image.shape):
            raise CellsegError(
                f"the labels of '{name}' have shape {tuple(self.labels.shape)}",
                f"{tuple(self.image.shape)} like the image",
                "use the mask that belongs to this image, unscaled and uncropped",
            )
        object.__setattr__(self, "_counts", count_labels(self.labels, self.classes, name=name))
        if self.dense and self._counts[NOT_ANNOTATED]:
            raise CellsegError(
                f"the labels of '{name}' leave {self._counts[NOT_ANNOTATED]} pixels not annotated",
                "every pixel to have a class in a dense mask",
                "annotate the rest, or do not call it dense",
            )

    def counts(self) -> dict[str, int]:
        """Return the pixels of each class, index 0 included, as they were at construction."""
        return dict(self._counts)


def leave_out(annotation: Annotation, names: str) -> Annotation:
    """Return an annotation in which some classes count as not annotated.

    Parameters
    ----------
    annotation : Annotation
    names : str
        Names of classes, separated by commas; empty = the annotation as it is.

    Raises
    ------
    CellsegError
        If a name is not one of the classes, or none would be left.

    Examples
    --------
    >>> from napari_cellseg.images.micrographs import Image
    >>> image, labels = Image.from_array(np.zeros((1, 4))), np.array([[1, 2, 3, 0]])
    >>> kept = leave_out(Annotation(image, labels, Classes.of("noise", "cell")), "noise")
    >>> kept.classes.targets, kept.labels.tolist()
    (('cell',), [[1, 0, 2, 0]])
    """
    gone = {name.strip() for name in names.split(",") if name.strip()}
    if not gone:
        return annotation
    classes = annotation.classes
    for name in sorted(gone):
        classes.index(name)
    kept = [k for k, name in enumerate(classes.names) if name not in gone]
    if BACKGROUND in gone or len(kept) < 3:
        raise CellsegError(f"classes left out: {names}", "at least one class and the background to stay")
    new = np.zeros(len(classes), np.uint8)
    new[kept] = np.arange(len(kept))
    chosen = Classes(tuple(classes.names[k] for k in kept), tuple(classes.colors[k] for k in kept))
    return Annotation(annotation.image, new[np.asarray(annotation.labels)], chosen)


def plane_blocks(shape: tuple[int, int], size: int = 2048) -> Iterator[tuple[slice, slice]]:
    """Yield slices (rows, cols) that cover a plane (y, x), each pixel once.

    Examples
    --------
    >>> [rows for rows, cols in plane_blocks((5, 2), size=3)]
    [slice(0, 3, None), slice(3, 5, None)]
    """
    for top in range(0, shape[0], size):
        for left in range(0, shape[1], size):
            yield slice(top, min(top + size, shape[0])), slice(left, min(left + size, shape[1]))


def count_labels(labels: Any, classes: Classes, *, name: str = "") -> dict[str, int]:
    """Return the number of pixels of each class in a plane, read block by block.

    Parameters
    ----------
    labels : (y, x) integer array
        Indices into `classes`; numpy, zarr or dask.
    classes : Classes
        What the indices mean.
    name : str
        The image's name, for the messages.

    Raises
    ------
    CellsegError
        If the plane is not of integers or holds an index without a class.

    Examples
    --------
    >>> count_labels(np.array([[0, 2, 2], [1, 0, 0]]), Classes.of("filament"))
    {'not annotated': 3, 'background': 1, 'filament': 2}
    """
    whose = f"the labels of '{name}'" if name else "the labels"
    if np.dtype(labels.dtype).kind not in "iu":
        raise CellsegError(f"{whose} are {labels.dtype}", "whole numbers", "convert them to uint8")
    total = np.zeros(len(classes), np.int64)
    for rows, cols in plane_blocks(labels.shape):
        block = np.asarray(labels[rows, cols])
        for wild in (int(block.min()), int(block.max())):
            if not 0 <= wild < len(classes):
                raise CellsegError(
                    f"{whose} hold the index {wild}",
                    f"0 ({NOT_ANNOTATED}) to {len(classes) - 1} ({classes.names[-1]})",
                    "add the missing class or erase these pixels",
                )
        total += np.bincount(block.ravel(), minlength=len(classes))
    return dict(zip(classes.names, total.tolist(), strict=True))


def check_trainable(annotations: Sequence[Annotation]) -> list[str]:
    """Return what should be said before training on these, one sentence each.

    Raises
    ------
    CellsegError
        If fewer than two different classes are annotated in all of them together, or they
        do not share their classes.
    """
    if not annotations:
        raise CellsegError("no image is annotated", "at least one", "paint some strokes of each class")
    classes = annotations[0].classes
    for annotation in annotations:
        if annotation.classes.names != classes.names:
            raise CellsegError(
                f"'{annotation.image.name}' has the classes {', '.join(annotation.classes.names[1:])}",
                f"{', '.join(classes.names[1:])} as in '{annotations[0].image.name}'",
            )
    totals = {name: sum(a.counts()[name] for a in annotations) for name in classes.names[1:]}
    present = [name for name, pixels in totals.items() if pixels]
    missing = [name for name, pixels in totals.items() if not pixels]
    if len(present) < 2:
        if not present:
            raise CellsegError(
                "nothing is annotated", "two classes at least", "paint some strokes of each class"
            )
        lacking = BACKGROUND if BACKGROUND in missing else " or ".join(missing)
        raise CellsegError(
            f"only '{present[0]}' is annotated", "two classes at least", f"paint some {lacking} strokes"
        )
    return [f"'{name}' is nowhere annotated: it will not be learned" for name in missing]


def _target_color(i: int) -> str:
    if i < len(_TARGETS):
        return _TARGETS[i]
    shade = colorsys.hsv_to_rgb(i * 0.618034 % 1.0, 0.55 + 0.4 * (i % 2), 0.95)  # golden angle: far apart
    return "#" + "".join(f"{round(255 * part):02x}" for part in shade)
