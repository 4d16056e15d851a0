"""`napari-cellseg explain`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_cellseg.cli.app import OK, Flag, app
from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import Device


@app.command
def explain(
    model: Path,
    image: Path,
    /,
    *,
    out: Path,
    at: str = "",
    class_: Annotated[str, Parameter(name="--class")] = "",
    method: str = "occlusion",
    window_px: int | None = None,
    pixel_nm: float | None = None,
    device: Device = "auto",
    overwrite: Flag = False,
) -> int:
    """Show what made a network decide as it did at a place, or about a class: OUT and OUT as PNG.

    Parameters
    ----------
    model
        Model file (.safetensors).
    image
        Image file.
    out
        TIFF of the map, in pixels of the image; a picture of it gets the same name as .png.
    at
        The place as ROW,COL in pixels of the image; without one the middle of the image.
    class_
        The class to explain; default: the one predicted at the place.
    method
        How; see napari-cellseg list explainers.
    window_px
        Side of the window the network is shown, in working pixels.
    pixel_nm
        Pixel size of the image in nm, instead of what the file says.
    device
        Where to run the network.
    overwrite
        Replace existing files.
    """
    place, picture = _place(at), out.with_suffix(".png")
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise CellsegError(f"--out {out}", "a TIFF to write: NAME.tif")
    for path in (out, picture):
        if path.exists() and not overwrite:
            raise CellsegError(f"{path}: exists already", remedy="choose another --out or give --overwrite")
    from napari_cellseg.images.micrographs import read_image
    from napari_cellseg.images.whole_files import write_whole
    from napari_cellseg.nets.model import load_model
    from napari_cellseg.predict.explain import explain as explain_place
    from napari_cellseg.report.explanation import draw_explanation, write_explanation

    opened, trained = read_image(image, pixel_nm=pixel_nm), load_model(model)
    found = explain_place(
        opened, trained, place, class_name=class_, method=method, window_px=window_px, device=device
    )
    facts = {"method": method, "model": str(model), "at": place}
    write_explanation(out, found, pixel_nm=opened.pixel_nm, **facts)
    plane = opened.read(found.rows, found.cols).mean(0)
    where = f"row {place[0]:g}, column {place[1]:g}" if place else "the middle of the image"
    title = f"{opened.name}, {where}: {method}"
    write_whole(picture, draw_explanation(plane, found, at=place, title=title))
    print(f"{found.class_name}: log-odds {found.odds:+.2f}")
    print(out, picture, sep="\n")
    return OK


def _place(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        row, col = (float(part) for part in text.split(","))
    except ValueError:
        raise CellsegError(f"--at {text}", "ROW,COL in pixels of the image, as in --at 1200,870") from None
    return row, col
