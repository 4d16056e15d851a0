"""Images of single cells: many small multi-channel pictures, read one at a time."""

from napari_cellseg.images.crops.crops import Crops, LeftOut, read_each
from napari_cellseg.images.crops.reading import READERS, read_crops

__all__ = ["READERS", "Crops", "LeftOut", "read_crops", "read_each"]
