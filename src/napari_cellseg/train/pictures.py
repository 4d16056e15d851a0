"""What a classifier is fed: cells fitted to one size, measured, and embedded once.

A frozen network makes the same of the same cell whatever head is trained on it, so what it
made is kept in a file, by network and by the hash of the cell's pixels: another head, another
fold and a corrected label cost no second look.
"""

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_cellseg.images.crops import (
    Crops,
    LeftOut,
    duplicate_groups,
    fit_crop,
    measured_names,
    pixel_digest,
    read_each,
)
from napari_cellseg.images.crops.measure import measure_crop
from napari_cellseg.images.whole_files import replace_whole
from napari_cellseg.nets.backends import autocast
from napari_cellseg.nets.cell_nets import CellNet
from napari_cellseg.nets.classifier_spec import ClassifierSpec
from napari_cellseg.train.records import Reading

EVERY = 256  # cells between two records
BATCH = 128


@dataclass(frozen=True)
class Survey:
    """What one look at every cell tells.

    Attributes
    ----------
    digests : list of bytes
        Of the pixels; empty for a cell that cannot be read.
    sizes : (n, 2) int
        Rows and columns.
    measured : (n, m) float32
        All that is measured on a cell; no columns where that was not asked for.
    left_out : tuple of LeftOut
        Cells that cannot be read.
    """

    digests: list[bytes]
    sizes: NDArray[np.int64]
    measured: NDArray[np.float32]
    left_out: tuple[LeftOut, ...]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which cells can be read, (n,)."""
        return np.array([bool(digest) for digest in self.digests], bool)

    @property
    def doubles(self) -> list[NDArray[np.intp]]:
        """Groups of cells with the same pixels."""
        return duplicate_groups(self.digests)

    def take(self, chosen: NDArray[Any]) -> "Survey":
        """Return what was seen of some of the cells."""
        digests = [self.digests[index] for index in np.arange(len(self.digests))[chosen]]
        return Survey(digests, self.sizes[chosen], self.measured[chosen], ())


def survey(crops: Crops, *, measure: bool) -> Generator[Reading, None, Survey]:
    """Yield how many cells were looked at; return what was seen."""
    names = measured_names(crops.channels) if measure else ()
    digests: list[bytes] = []
    sizes = np.ones((len(crops), 2), np.int64)
    measured = np.zeros((len(crops), len(names)), np.float32)
    left_out: list[LeftOut] = []
    for index, pixels in enumerate(read_each(crops)):
        if isinstance(pixels, LeftOut):
            left_out.append(pixels)
            digests.append(b"")
        else:
            digests.append(pixel_digest(pixels))
            sizes[index] = pixels.shape[1:]
            if measure:
                measured[index] = measure_crop(pixels)
        if index % EVERY == EVERY - 1:
            yield Reading("reading cells", index + 1, len(crops))
    return Survey(digests, sizes, measured, tuple(left_out))


def told(seen: Survey, measured: str) -> NDArray[np.float32]:
    """Return the numbers (n, m) that a network is told beside the picture.

    Parameters
    ----------
    seen : Survey
    measured : {"none", "size", "all"}
        As in `ClassifierSettings`.
    """
    if measured == "none":
        return np.zeros((len(seen.digests), 0), np.float32)
    sizes = np.log2(seen.sizes).astype(np.float32)
    return sizes if measured == "size" else np.concatenate([sizes, np.nan_to_num(seen.measured)], axis=1)


def fit_all(crops: Crops, spec: ClassifierSpec, path: Path) -> Generator[Reading, None, NDArray[np.float16]]:
    """Yield how many cells were fitted; return all of them (n, c, h, w), held in the file `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (len(crops), len(spec.channels), *spec.size)
    pictures: NDArray[np.float16] = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    for index, picture in enumerate(fitted(crops, spec)):
        pictures[index] = picture
        if index % EVERY == EVERY - 1:
            yield Reading("fitting cells", index + 1, len(crops))
    return pictures


def fitted(crops: Crops, spec: ClassifierSpec) -> Iterator[NDArray[np.float32]]:
    """Yield the picture (c, h, w) of each cell as the network sees it; zeros for one that cannot be read."""
    for pixels in read_each(crops):
        if isinstance(pixels, LeftOut):
            yield np.zeros((len(spec.channels), *spec.size), np.float32)
        else:
            yield fit_crop(pixels, spec.size, spec.bounds)


def embed_all(
    crops: Crops,
    digests: list[bytes],
    spec: ClassifierSpec,
    net: CellNet,
    folder: Path,
    *,
    device: str,
    precision: str,
) -> Generator[Reading, None, NDArray[np.float16]]:
    """Yield how many cells were embedded; return what the network makes of each, (n, f).

    Parameters
    ----------
    crops : Crops
    digests : list of bytes
        Of the pixels of each.
    spec, net
        The network, and how it is fed.
    folder : Path
        ``KEY.npy`` and ``KEY.digests.npy`` there hold what was embedded before; they grow.
    device, precision : str
        Where and in which number format.
    """
    features, known = folder / f"{embedding_key(spec, net)}.npy", {}
    held = np.zeros((0, net.features), np.float16)
    if features.is_file() and features.with_suffix(".digests.npy").is_file():
        held = np.load(features)
        known = {row.tobytes(): place for place, row in enumerate(np.load(_digests_of(features)))}
    new = [place for place in range(len(crops)) if digests[place] not in known]
    _, first = np.unique([digests[place].hex() for place in new], return_index=True)
    fresh = [new[place] for place in sorted(first)]
    rows: list[NDArray[np.float16]] = []
    batch: list[NDArray[np.float32]] = []
    for number, picture in enumerate(fitted(crops.take(fresh), spec), start=1):
        batch.append(picture)
        if len(batch) == BATCH or number == len(fresh):
            rows.append(_embedded(net, np.stack(batch), device, precision))
            batch.clear()
            yield Reading("embedding cells", number, len(fresh))
    if fresh:
        held = np.concatenate([held, *rows])
        known |= {digests[place]: len(known) + number for number, place in enumerate(fresh)}
        _keep(features, held, list(known))
    return held[[known[digest] for digest in digests]]


def embedding_key(spec: ClassifierSpec, net: CellNet) -> str:
    """Return what names the file of embedded cells: the weights and all that shapes a picture."""
    digest = hashlib.sha256(repr((spec.architecture, spec.channels, spec.size, spec.bounds)).encode())
    digest.update(repr((net.repeats, spec.architecture)).encode())
    for name, tensor in net.backbones.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"{spec.architecture}-{digest.hexdigest()[:16]}"


def _digests_of(features: Path) -> Path:
    return features.with_suffix(".digests.npy")


def _embedded(
    net: CellNet, pictures: NDArray[np.float32], device: str, precision: str
) -> NDArray[np.float16]:
    with torch.inference_mode(), autocast(device, precision):
        found = net.embed(torch.from_numpy(pictures).to(device)).float().cpu().numpy()
    limit = float(np.finfo(np.float16).max)
    result: NDArray[np.float16] = found.clip(-limit, limit).astype(np.float16)
    return result


def _keep(features: Path, held: NDArray[np.float16], digests: list[bytes]) -> None:
    """Write both files; without the second, the first is not used."""
    _digests_of(features).unlink(missing_ok=True)
    for path, values in (
        (features, held),
        (_digests_of(features), np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1)),
    ):
        with replace_whole(path) as part, part.open("wb") as file:
            np.save(file, values)
