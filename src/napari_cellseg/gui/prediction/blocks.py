"""Segmenting a layer from the viewer: the request, the process that answers it, its blocks."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellseg.gui.job import Child
from napari_cellseg.gui.layers import check_size, image_from, link_of
from napari_cellseg.gui.prediction.block_process import BlockDone, Loaded, Request, from_line
from napari_cellseg.images.whole_files import write_errors

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Image as ImageLayer
    from numpy.typing import NDArray

    from napari_cellseg.settings import SegmentSettings

TOO_LARGE = "use `napari-cellseg segment` and drop the .ome.zarr it makes into the window"


@dataclass(frozen=True)
class Block:
    """A part of the image is done.

    Attributes
    ----------
    rows, cols : slice
        Where, in pixels of the image.
    probabilities : (k, y, x) uint8
        255 stands for 1; channel 0 is the background.
    labels : (y, x) uint8
    uncertainty : (y, x) uint8 or None
    told : BlockDone
        How far the whole image is.
    """

    rows: slice
    cols: slice
    probabilities: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.uint8] | None
    told: BlockDone


class Segmentation:
    """One image on its way through a model, in a process of its own.

    Parameters
    ----------
    source : Image layer
        Read from its file where it has one of ours, else its pixels are handed over.
    models : list of Path
        One, or several of which the mean counts.
    center : (row, col)
        Blocks near this pixel come first.
    settings : SegmentSettings

    Raises
    ------
    CellsegError
        If the layer is no image we know, or too large.
    """

    def __init__(
        self,
        source: ImageLayer,
        models: list[Path],
        *,
        center: tuple[float, float],
        settings: SegmentSettings,
    ) -> None:
        self.image = image_from(source)
        check_size(self.image.name, self.image.shape, remedy=TOO_LARGE)
        self._kept = tempfile.TemporaryDirectory(prefix="napari-cellseg-")
        self.folder = Path(self._kept.name)
        link = link_of(source)
        self._from_file = link is not None and link.path is not None and link.path.exists()
        file = str(link.path if self._from_file else self.folder / "image.npy")
        paths, chosen = [str(path) for path in models], settings.model_dump(mode="json")
        self.request = Request(file, self.image.name, self.image.pixel_nm, paths, center, chosen)
        command = [sys.executable, "-m", "napari_cellseg.gui.prediction.block_process", str(self.folder)]
        self.child = Child(command, self.folder / "stop", from_line)

    def stop(self) -> None:
        """Ask for an end after the block in work; returns at once."""
        self.child.cancel()

    def blocks(self) -> Generator[Any, None, None]:
        """Yield `Loaded`, then each `Block`; `Beat` and `Failed` as `Child.records` does."""
        try:
            if not self._from_file:
                pixels = self.image.data.compute(scheduler="threads")
                with write_errors(self.folder / "image.npy"):
                    np.save(self.folder / "image.npy", pixels)
            request = json.dumps(asdict(self.request))
            (self.folder / "request.json").write_text(request, "utf-8")
            planes: dict[str, Any] = {}
            for record in self.child.records():
                if isinstance(record, Loaded):
                    names = ["probabilities", "labels", *(["uncertainty"] if record.uncertainty else [])]
                    planes = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in names}
                if not isinstance(record, BlockDone):
                    yield record
                    continue
                rows, cols = slice(*record.rows), slice(*record.cols)
                parts = {name: np.array(plane[..., rows, cols]) for name, plane in planes.items()}
                yield Block(rows, cols, **{"uncertainty": None} | parts, told=record)
        finally:
            planes = {}  # or the folder could not be removed on Windows
            self._kept.cleanup()
