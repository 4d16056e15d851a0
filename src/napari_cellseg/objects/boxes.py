"""Segments of filaments cut out as square boxes, as for helical reconstruction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.filament import Filament
from napari_cellseg.images.segments import Segments, cut_segments


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes along filaments.

    Attributes
    ----------
    pixels : (n, box, box) float32
        The pixel that holds a segment's centre lies at index ``box // 2``, as RELION has it.
    filaments : tuple of Filament
        Those that have boxes.
    segments : tuple of Segments
        Of each of them, the segments that have boxes. Tracks go on counting over those left out.
    left_out : int
        Segments whose box leaves the field.
    """

    pixels: NDArray[np.float32]
    filaments: tuple[Filament, ...]
    segments: tuple[Segments, ...]
    left_out: int


def cut_boxes(
    image: Any, filaments: Sequence[Filament], *, box_px: int, step_px: float, pad: bool = False
) -> Boxes:
    """Return boxes along filaments, unturned.

    Parameters
    ----------
    image : (y, x)
    filaments : sequence of Filament
    box_px : int
        Side of a box.
    step_px : float
        Distance along the curve.
    pad : bool
        Keep boxes that leave the field; the image goes on as it ends at its border.

    Raises
    ------
    CellsegError
        If the image is no plane or the box has no pixels.

    Examples
    --------
    >>> boxes = cut_boxes(np.eye(40), [Filament([[20, 3], [20, 33]])], box_px=8, step_px=10)
    >>> boxes.pixels.shape, boxes.left_out
    ((2, 8, 8), 1)
    """
    plane = np.asarray(image)
    if plane.ndim != 2:
        raise CellsegError(f"an image of shape {plane.shape}", "(y, x)", "choose a channel")
    if box_px < 1:
        raise CellsegError(f"a box of {box_px} px", "at least 1 px")
    kept_filaments, kept_segments = [], []
    stack = [np.empty((0, box_px, box_px), np.float32)]
    left_out = 0
    for filament in filaments:
        cut = cut_segments(filament, step_px)
        corner = np.trunc(cut.points).astype(np.intp) - box_px // 2
        whole = ((corner >= 0) & (corner + box_px <= np.array(plane.shape))).all(axis=1)
        keep = np.ones_like(whole) if pad else whole
        left_out += int((~keep).sum())
        if not keep.any():
            continue
        kept_filaments.append(filament)
        kept_segments.append(Segments(cut.points[keep], cut.psi_degrees[keep], cut.track_px[keep]))
        rows, cols = (
            (corner[keep, axis, None] + np.arange(box_px)).clip(0, plane.shape[axis] - 1) for axis in (0, 1)
        )
        stack.append(plane[rows[:, :, None], cols[:, None, :]].astype(np.float32))
    return Boxes(np.concatenate(stack), tuple(kept_filaments), tuple(kept_segments), left_out)
