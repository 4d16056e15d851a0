"""TIFF: plain, tiled, BigTIFF, ImageJ and OME."""

from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
import tifffile
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.readers.pixel_size import isotropic_nm, nm_per_unit
from napari_cellseg.images.readers.pixels import Decoded, Handle, Source

DECODED_BYTES = 1 << 28  # compressed strips up to this size are decoded at once and kept
PLAUSIBLE_NM = (1e-3, 2e4)  # 2e4 nm = 1270 dpi: coarser ones are for printers and screens


def open_tiff(path: Path) -> Source:
    """Return what a TIFF file holds: the full resolution of its first series.

    An uncompressed image is memory-mapped (a 512 px region takes 0.2 ms, through the zarr
    store 50 ms), strips are decoded all at once up to 256 MiB, tiles one by one.

    Raises
    ------
    CellsegError
        If the file ends before its pixels do, or carries XML entities.
    """
    with tifffile.TiffFile(path) as tif:
        _refuse_entities(tif, path)
        series = tif.series[0]
        page = series.keyframe
        _check_length(tif, path)
        chunk_px = _chunk_px(page)
        several = chunk_px != (page.imagelength, page.imagewidth)
        if series.dataoffset is not None and series.dtype.kind != "b":
            opener = _open_mapped
        elif not several or (chunk_px[1] == page.imagewidth and series.nbytes <= DECODED_BYTES):
            opener = _open_decoded
        else:
            opener = _open_chunked
        return Source(
            opener,
            series.axes.lower(),
            tuple(series.shape),
            np.dtype(series.dtype),
            chunk_px,
            _pixel_nm(tif, path.name),
            _is_alpha(series),
        )


def smaller_tiff(path: Path) -> list[Source]:
    """Return the smaller copies a pyramidal TIFF holds, the largest first."""
    with tifffile.TiffFile(path) as tif:
        return [
            Source(
                partial(_open_chunked, level=k),
                series.axes.lower(),
                tuple(series.shape),
                np.dtype(series.dtype),
                _chunk_px(series.keyframe),
                alpha=_is_alpha(series),
            )
            for k, series in enumerate(tif.series[0].levels)
            if k
        ]


def _chunk_px(page: Any) -> tuple[int, int]:
    """Return (y, x) of a tile or a strip."""
    height, width = page.imagelength, page.imagewidth
    tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    return max(1, min(tile[0], height)), max(1, min(tile[1], width))


def _open_mapped(path: Path) -> Handle:
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
        offset = int(series.dataoffset or 0)
        return Handle(np.memmap(path, dtype, "r", offset, tuple(series.shape)))


def _open_chunked(path: Path, *, level: int = 0) -> Handle:
    import zarr

    tif = tifffile.TiffFile(path)
    store = tif.series[0].aszarr(level=level)

    def close() -> None:
        store.close()
        tif.close()

    return Handle(zarr.open_array(store, mode="r"), close)


def _open_decoded(path: Path) -> Handle:
    return Handle(Decoded(path, _decode))


def _decode(path: Path) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tif:
        pixels: NDArray[Any] = tif.series[0].asarray()
    return pixels


def _refuse_entities(tif: tifffile.TiffFile, path: Path) -> None:
    if "<!ENTITY" in (tif.pages.first.description or ""):
        raise CellsegError(f"{path.name}: XML entities in the OME metadata", "plain OME-XML")


def _check_length(tif: tifffile.TiffFile, path: Path) -> None:
    size = path.stat().st_size
    for page in tif.series[0].pages:
        if page is None or page.parent is not tif:
            continue
        if not page.dataoffsets:
            raise CellsegError(
                f"{path.name}: truncated or damaged, it does not say where its pixels are", "a TIFF"
            )
        ends = np.asarray(page.dataoffsets, np.uint64) + np.asarray(page.databytecounts, np.uint64)
        if ends.size and int(ends.max()) > size:
            raise CellsegError(
                f"{path.name}: truncated, {size:,} of at least {int(ends.max()):,} bytes",
                "a whole TIFF file",
                "copy or export it again",
            )


def _is_alpha(series: Any) -> bool:
    """Tell whether the last channel of a series is transparency."""
    page = series.keyframe
    if "S" not in series.axes or page.samplesperpixel not in (2, 4) or not page.extrasamples:
        return False
    return page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK)


def _pixel_nm(tif: tifffile.TiffFile, name: str) -> float | None:
    if tif.is_ome:
        size = _ome_pixel_nm(tif.ome_metadata or "", name)
        if size is not None:
            return size
    tags = tif.pages.first.tags
    across, down = (_ratio(tags.valueof(key)) for key in ("XResolution", "YResolution"))
    if not across or not down:
        return None
    unit = (tif.imagej_metadata or {}).get("unit") if tif.is_imagej else None
    if unit:
        nm = nm_per_unit(str(unit))
        return isotropic_nm(nm / down, nm / across, name) if nm else None
    nm = {2: 2.54e7, 3: 1e7}.get(int(tags.valueof("ResolutionUnit") or 0))
    if nm is None or not PLAUSIBLE_NM[0] <= nm / across <= PLAUSIBLE_NM[1]:
        return None
    return isotropic_nm(nm / down, nm / across, name)


def _ratio(value: Any) -> float:
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return float(value[0]) / float(value[1])


def _ome_pixel_nm(xml: str, name: str) -> float | None:
    try:
        root = fromstring(xml)
    except (ParseError, DefusedXmlException, ValueError):
        return None  # several programs write what only they can read; the tags may still do
    for element in root.iter():
        if element.tag.endswith("Pixels"):
            down, across = (_ome_length(element.attrib, f"PhysicalSize{axis}") for axis in "YX")
            return isotropic_nm(down, across, name)
    return None


def _ome_length(attributes: dict[str, str], key: str) -> float | None:
    try:
        length = float(attributes.get(key, ""))
    except ValueError:
        return None
    nm = nm_per_unit(attributes.get(f"{key}Unit", "um"))
    return length * nm if nm else None
