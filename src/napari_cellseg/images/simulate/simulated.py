"""A simulated micrograph together with what is true of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.simulate.settings import SimulateSettings


@dataclass(frozen=True)
class Simulated:
    """A simulated micrograph and what is true of it.

    Attributes
    ----------
    image : (y, x) float32
        Electrons recorded in every pixel; protein is dark.
    mask : (y, x) uint8
        Annotation indices: 1 = background, 2 = filament (closer to its axis than half
        its width, over carbon and under ice too).
    foreign : (y, x) bool
        Carbon film and ice contamination.
    filaments : tuple of (n, 2) float64
        Axes (row, col) in pixels, ordered, within the field. A filament that leaves the
        field and comes back is two.
    troponins : (m, 2) float64
        Centres (row, col) of the troponin cores in the field.
    troponin_filaments : (m,) int
        Index into `filaments` for every troponin.
    pixel_nm : float
        Pixel size.
    defocus_um, dose : float
        What was drawn for this micrograph; the dose in electrons per square angstrom.
    seed : int
        What it was drawn from.
    settings : SimulateSettings
        And how.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    foreign: NDArray[np.bool_]
    filaments: tuple[NDArray[np.float64], ...]
    troponins: NDArray[np.float64]
    troponin_filaments: NDArray[np.int64]
    pixel_nm: float
    defocus_um: float
    dose: float
    seed: int
    settings: SimulateSettings
