"""Pixel sizes in nm from what headers say about them."""

import logging
import math

logger = logging.getLogger(__name__)

NM_PER_UNIT = {
    "pm": 1e-3,
    "picometer": 1e-3,
    "a": 0.1,
    "angstrom": 0.1,
    "angstroms": 0.1,
    "å": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometers": 1.0,
    "um": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometers": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "centimeter": 1e7,
    "m": 1e9,
    "meter": 1e9,
    "inch": 2.54e7,
    "in": 2.54e7,
}


def nm_per_unit(unit: str) -> float | None:
    r"""Return how many nm a unit of length has; None for anything else, such as ``pixel``.

    Spellings of OME, ImageJ (with its ``\u00B5m`` escape), OME-Zarr and MRC programs.

    Examples
    --------
    >>> nm_per_unit("micron"), nm_per_unit("\\u00B5m"), nm_per_unit("pixel")
    (1000.0, 1000.0, None)
    """
    plain = unit.strip().lower()
    for micro in ("\\u00b5", "\\u03bc", "\u00b5", "\u03bc"):
        plain = plain.replace(micro, "u")
    plain = plain.replace("\\u00c5", "å").replace("\\u00e5", "å").replace("\u212b", "å")
    if plain not in ("å",) and plain.endswith(("metre", "metres")):
        plain = plain.replace("metre", "meter")
    return NM_PER_UNIT.get(plain)


def isotropic_nm(row_nm: float | None, col_nm: float | None, name: str) -> float | None:
    """Return one pixel size for both directions, or None where there is none.

    Their mean, logged as a warning where they differ by more than 1 %.

    Parameters
    ----------
    row_nm, col_nm : float or None
        Distance of rows and of columns in nm; zero, negative and non-finite ones count
        as unknown.
    name : str
        What the warning calls the file.

    Examples
    --------
    >>> isotropic_nm(2.0, 2.0, "a.tif"), isotropic_nm(0.0, None, "a.tif")
    (2.0, None)
    """
    known = [size for size in (row_nm, col_nm) if size is not None and math.isfinite(size) and size > 0]
    if not known:
        return None
    mean = sum(known) / len(known)
    if max(known) - min(known) > 0.01 * mean:
        logger.warning(
            "%s: pixels are %.4g nm high and %.4g nm wide; %.4g nm is used for both",
            name, known[0], known[-1], mean,
        )  # fmt: skip
    return mean
