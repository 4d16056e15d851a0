"""Bins of an Imaging FlowCytobot: .hdr (text), .adc (a row a trigger), .roi (all pixels)."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.crops.crops import Crops, LeftOut, natural
from napari_cellseg.images.crops.files import unreadable
from napari_cellseg.images.crops.listing import walk

ENDINGS = (".adc", ".hdr", ".roi")
COLUMNS = ("RoiWidth", "RoiHeight", "StartByte")
_D_STYLE = (15, 16, 17)  # where they are in bins named D<time>_IFCB<number>


@dataclass(frozen=True, eq=False)
class Rois:
    """Rectangles in .roi files, one after the other, 8 bit.

    Parameters
    ----------
    files : tuple of Path
        The .roi files.
    places : (n, 4) int
        File, first byte, height, width.
    """

    files: tuple[Path, ...]
    places: NDArray[np.int64]

    def read(self, row: int) -> NDArray[Any]:
        """Return ``(1, y, x)``."""
        file, start, height, width = self.places[row].tolist()
        path = self.files[file]
        try:
            with path.open("rb") as stream:
                stream.seek(start)
                content = stream.read(height * width)
        except OSError as error:
            raise unreadable(str(path), error) from error
        if len(content) < height * width:
            found = f"{path}: cut off within the image at byte {start:,}"
            raise CellsegError(found, f"{height * width:,} bytes there", "copy the bin again")
        return np.frombuffer(content, np.uint8).reshape(1, height, width)


def is_ifcb(path: Path) -> bool:
    """Tell whether `path` is a file of a bin or a folder with bins somewhere in it."""
    if path.is_file():
        return path.suffix.lower() in ENDINGS
    return any(name.lower().endswith((".adc", ".roi")) for _, name in walk(path))


def open_ifcb(path: Path, group: str = "", channels: tuple[str, ...] = ()) -> Crops:
    """Return the images of one bin, or of all bins below a folder; the bin is the sample.

    The id is the one the IFCB world uses: name of the bin and number of the trigger,
    ``D20220519T124533_IFCB134_00017``. Triggers without an image are listed as left out.

    Raises
    ------
    CellsegError
        If the .adc or .roi file is missing, or there is no image at all.
    """
    if path.is_dir():
        adcs = [path / inner / name for inner, name in walk(path) if name.lower().endswith(".adc")]
    else:
        adcs = [path.with_suffix(".adc")]
    adcs.sort(key=lambda adc: natural(str(adc)))
    ids: list[str] = []
    places: list[tuple[int, int, int, int]] = []
    left_out: list[LeftOut] = []
    notices: list[str] = []
    for number, adc in enumerate(adcs):
        before = len(ids)
        for trigger, (width, height, start) in enumerate(_rois(adc), start=1):
            name = f"{adc.stem}_{trigger:05d}"
            if width > 0 and height > 0:
                ids.append(name)
                places.append((number, start, height, width))
            else:
                reason = "the trigger has no image (its size is zero)"
                left_out.append(LeftOut(name, str(adc.with_suffix(".roi")), reason))
        if len(ids) == before:
            notices.append(f"{adc.stem}: no images in this bin")
        elif not adc.with_suffix(".roi").is_file():
            found = f"{adc.with_suffix('.roi')}: no such file"
            raise CellsegError(found, "the pixels beside the .adc file", "copy all three files of the bin")
    if not ids:
        raise CellsegError(
            f"{path}: no images in it", "an IFCB bin with at least one image", "take another bin"
        )
    table = np.array(places, np.int64)
    files = tuple(adc.with_suffix(".roi") for adc in adcs)
    crops = Crops(
        name=path.stem if path.is_file() else path.absolute().name,
        ids=np.array(ids, np.str_),
        samples=np.array([adc.stem for adc in adcs], np.str_)[table[:, 0]],
        labels=np.full(len(ids), "", np.str_),
        paths=np.array([str(file) for file in files], np.str_)[table[:, 0]],
        channels=("grey",),
        source=Rois(files, table),
        left_out=tuple(left_out),
        notices=tuple(notices),
    )
    return crops.with_samples(group).with_channels(channels)


def _rois(adc: Path) -> list[tuple[int, int, int]]:
    """Return (width, height, first byte) of each trigger."""
    if not adc.is_file():
        found = f"{adc}: no such file"
        raise CellsegError(found, "the table beside the .roi file", "copy all three files of the bin")
    columns = _columns(adc)
    rois = []
    with adc.open(newline="", encoding="utf-8", errors="replace") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if not row:
                continue
            try:
                width, height, start = (int(float(row[column])) for column in columns)
            except (ValueError, IndexError):
                found = f"{adc}: row {number} does not say where its image is"
                raise CellsegError(found, f"numbers for {', '.join(COLUMNS)}", "copy the bin again") from None
            rois.append((width, height, start))
    return rois


def _columns(adc: Path) -> tuple[int, ...]:
    """Return where width, height and first byte are, as the .hdr says."""
    header = adc.with_suffix(".hdr")
    lines = header.read_text(encoding="utf-8", errors="replace").splitlines() if header.is_file() else []
    for line in lines:
        if line.startswith("ADCFileFormat:"):
            names = [name.strip() for name in line.partition(":")[2].split(",")]
            if all(column in names for column in COLUMNS):
                return tuple(names.index(column) for column in COLUMNS)
    if not adc.stem.startswith("D"):
        raise CellsegError(
            f"{adc}: a bin of an older kind whose header does not name the columns of the .adc file",
            "bins named D<time>_IFCB<number>",
            "export its images as PNG and read that folder",
        )
    return _D_STYLE
