"""Small image files for the tests."""

import numpy as np
import zarr

EVERYTHING = (slice(None), slice(None))


def noise(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def write_ome_zarr(path, pixels, axes: str, version: str = "0.5", *, scale=None, unit="micrometer", **array):
    """Write a one-level OME-Zarr image by hand."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)
    stored = group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, **array)
    stored[...] = pixels
    kinds = {"t": "time", "c": "channel"}
    multiscale = {
        "axes": [
            {"name": axis, "type": kinds.get(axis, "space"), **({"unit": unit} if axis in "zyx" else {})}
            for axis in axes
        ],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [{"type": "scale", "scale": list(scale or [1.0] * len(axes))}],
            }
        ],
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [{"version": version, **multiscale}]
    return path
