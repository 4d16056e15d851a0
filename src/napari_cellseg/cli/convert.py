"""`napari-cellseg convert`."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_cellseg.cli.app import OK, SOME_FAILED, WRONG_REQUEST, Flag, Many, app
from napari_cellseg.errors import CellsegError
from napari_cellseg.settings import ExportSettings

if TYPE_CHECKING:
    from napari_cellseg.formats.coordinates import Coordinates

DEFAULTS = ExportSettings()


@app.command
def convert(
    coordinates: Annotated[list[str], Parameter(negative=())],
    /,
    *,
    format: str,
    out: Path,
    images: Many = None,
    source: str = "",
    flip_source: Literal["auto", "yes", "no"] = "auto",
    pixel_nm: float | None = None,
    overwrite: Flag = False,
    settings: Annotated[ExportSettings, Parameter(name="*")] = DEFAULTS,
) -> int:
    """Write coordinate files anew for another program; for RELION with a list of them to import.

    Parameters
    ----------
    coordinates
        Files of coordinates; see `list coordinate-readers`.
    format
        What to write; see `list writers`.
    out
        Folder for the new files.
    images
        Micrographs, found by name: which way rows are counted, their size and pixel size.
    source
        Format of the files, where suffix and content do not say it, such as startend.
    flip_source
        Whether the files count rows from the bottom; auto = of TIFF micrographs, as RELION and EMAN do.
    pixel_nm
        Pixel size of the micrographs in nm, instead of what their files say.
    overwrite
        Replace existing files.
    """
    from napari_cellseg.formats.coordinates import (
        WRITERS,
        coordinate_file,
        micrograph_stem,
        named,
        write_coordinates,
        write_list,
    )
    from napari_cellseg.images.micrographs import find_images

    named(format, WRITERS)
    micrographs = find_images(images) if images else []
    listed: list[tuple[str, Path]] = []
    failed = 0
    for path in map(Path, coordinates):
        try:
            for found in _read(path, micrographs, source, flip_source, pixel_nm):
                target = coordinate_file(out, found.micrograph or micrograph_stem(path), format)
                done = write_coordinates(target, found, format=format, overwrite=overwrite, settings=settings)
                for notice in (*found.notices, *done.notices):
                    print(f"{path.name}: {notice}", file=sys.stderr)
                if found.micrograph:
                    listed.append((found.micrograph, target))
                print(target, flush=True)
        except CellsegError as error:
            if len(coordinates) == 1:
                raise
            failed += 1
            print(f"napari-cellseg: {error}", file=sys.stderr)
    if format in ("relion", "startend") and listed:
        print(write_list(out / "autopick.star", listed, overwrite=overwrite))
    print(f"next: {WRITERS[format].next_step}", file=sys.stderr)
    if failed == len(coordinates):
        return WRONG_REQUEST
    return SOME_FAILED if failed else OK


def _read(
    path: Path,
    micrographs: Sequence[Path],
    source: str,
    flip_source: Literal["auto", "yes", "no"],
    pixel_nm: float | None,
) -> "Iterator[Coordinates]":
    """Yield what a file holds of each of its micrographs."""
    from napari_cellseg.formats.coordinates import SeveralMicrographs, micrograph_stem, read_coordinates
    from napari_cellseg.images.micrographs import stem

    by_stem = {stem(image): image for image in micrographs}

    def read(image: Path | str | None) -> "Coordinates":
        return read_coordinates(
            path, format=source or None, image=image, pixel_nm=pixel_nm, flip_y=flip_source
        )

    image = by_stem.get(micrograph_stem(path))
    if image is not None or not micrographs:
        try:
            yield read(image)
            return
        except SeveralMicrographs as error:
            names = error.names
    else:
        try:
            names = (read_coordinates(path, format=source or None, flip_y="no").micrograph,)
        except SeveralMicrographs as error:
            names = error.names
    for name in names:
        if micrographs and stem(name) not in by_stem:
            raise CellsegError(
                f"{path.name}: no image for {name or 'it'}", "its micrograph among the images", "name it too"
            )
        yield read(by_stem.get(stem(name), name))
