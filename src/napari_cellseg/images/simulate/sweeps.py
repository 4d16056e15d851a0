"""Broad strokes of background over a simulated micrograph, as a person adds to thin ones."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_cellseg.images.simulate.strokes import paint_stroke

if TYPE_CHECKING:
    from napari_cellseg.images.simulate.simulated import Simulated

BRUSH_WIDTHS = 1.5  # radius of the brush in widths of a filament
CLEARANCE_WIDTHS = 0.7  # distance kept from the axis of a filament, half of which is its own
DABS = 3  # over each lump of ice and each piece of carbon
COARSE = 8  # lumps are looked for on every eighth pixel


def sweep_background(
    simulated: "Simulated", labels: NDArray[np.uint8], seed: int = 0, *, sweeps: int = 5
) -> NDArray[np.uint8]:
    """Return the labels with background painted across the field, by a broad brush.

    Thin strokes beside filaments teach a network where a filament ends, not what the rest of
    a noisy field looks like: from them alone it finds filaments in the noise. A few sweeps
    across the field and dabs on ice and carbon cure that. The brush is lifted near filaments;
    what was labelled before stays.

    Parameters
    ----------
    simulated : Simulated
        A micrograph with its truth.
    labels : (y, x) uint8
        As `sparse_annotation` drew them.
    seed : int
        The same seed draws the same sweeps.
    sweeps : int
        How many, in turns from side to side and from top to bottom.

    Examples
    --------
    >>> from napari_cellseg.images.simulate import SimulateSettings, simulate_micrograph, sparse_annotation
    >>> simulated = simulate_micrograph(1, settings=SimulateSettings(shape=(96, 128), pixel_nm=1.0))
    >>> thin = sparse_annotation(simulated)
    >>> broad = sweep_background(simulated, thin)
    >>> bool((broad == 1).sum() > (thin == 1).sum()), bool(((broad == 2) == (thin == 2)).all())
    (True, True)
    """
    rng = np.random.default_rng([seed, 8])
    width = simulated.settings.width_nm / simulated.pixel_nm
    swept, near = np.zeros(labels.shape, np.uint8), np.zeros(labels.shape, np.uint8)
    far = np.array(labels.shape) - 1.0
    for number in range(sweeps):
        ends = rng.uniform(0, 1, (2, 2)) * far
        ends[:, number % 2] = 0, far[number % 2]
        paint_stroke(swept, ends, BRUSH_WIDTHS * width)
    lumps, count = ndimage.label(simulated.foreign[::COARSE, ::COARSE])
    for lump in range(1, count + 1):
        spots = np.argwhere(lumps == lump) * float(COARSE)
        for spot in spots[rng.integers(len(spots), size=DABS)]:
            paint_stroke(swept, np.stack([spot, spot + rng.normal(0, 2 * width, 2)]), width)
    for path in simulated.filaments:
        paint_stroke(near, path, CLEARANCE_WIDTHS * width)
    return np.where((swept == 1) & (near == 0) & (labels == 0), np.uint8(1), labels)
