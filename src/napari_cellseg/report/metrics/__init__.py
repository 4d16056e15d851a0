"""Figures that say how well predictions agree with the truth, the same for every system.

`image_scores` scores one image, `pool_scores` all images of a system with intervals,
`compare_scores` two systems on the same images. What each figure means is in `FIGURES` and
in docs/metrics.md.
"""

from napari_cellseg.report.metrics.figures import FIGURES, Figure
from napari_cellseg.report.metrics.images import image_scores
from napari_cellseg.report.metrics.intervals import compare_scores, pool_scores
from napari_cellseg.report.metrics.pixels import confusion_matrix, pixel_scores, scores_from

__all__ = [
    "FIGURES",
    "Figure",
    "compare_scores",
    "confusion_matrix",
    "image_scores",
    "pixel_scores",
    "pool_scores",
    "scores_from",
]
