"""Images of single cells: many small multi-channel pictures, read one at a time."""

from napari_cellseg.images.crops.crops import Crops, LeftOut, read_each
from napari_cellseg.images.crops.cut import FieldObjects, crops_of_labels
from napari_cellseg.images.crops.duplicates import duplicate_groups, find_duplicates, pixel_digest
from napari_cellseg.images.crops.fit import channel_bounds, fit_crop
from napari_cellseg.images.crops.measure import Measurements, measure_crops, measure_each, measured_names
from napari_cellseg.images.crops.reading import READERS, read_crops

__all__ = [
    "READERS",
    "Crops",
    "FieldObjects",
    "LeftOut",
    "Measurements",
    "channel_bounds",
    "crops_of_labels",
    "duplicate_groups",
    "find_duplicates",
    "fit_crop",
    "measure_crops",
    "measure_each",
    "measured_names",
    "pixel_digest",
    "read_crops",
    "read_each",
]
