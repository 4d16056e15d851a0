"""The demo's troponins: learned from those of the training micrographs, found on the unseen one, scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import coordinate_file, write_coordinates
from napari_cellseg.images.coordinates import Coordinates
from napari_cellseg.objects.points import owned
from napari_cellseg.objects.settings import PointSettings
from napari_cellseg.objects.site_filters import find_sites
from napari_cellseg.predict.points import learn_files, point_files
from napari_cellseg.report.figures import draw_spacings
from napari_cellseg.report.filament_pictures import draw_strip
from napari_cellseg.report.metrics.points import PointScores, point_scores, spacings
from napari_cellseg.report.page import Picture, Section, Table

if TYPE_CHECKING:
    from napari_cellseg.images.simulate import Simulated
    from napari_cellseg.objects.straighten import Strip

TOLERANCE_NM = 4.0
FILTERS = "troponin.npz"
FORMATS = ("csv", "relion")
SETTINGS = PointSettings()
FREE = PointSettings(use_spacing=False)


@dataclass(frozen=True)
class Troponins:
    """What became of the troponins of the unseen micrograph.

    Attributes
    ----------
    found : Coordinates
        With their filaments.
    scores : PointScores
        Of all in the field.
    traced : PointScores
        Of those on filaments that were traced: what was not traced cannot be looked along.
    free : PointScores
        As `scores`, but found without the known spacing.
    spacings_nm, free_spacings_nm : (k,) float64
        From site to site along filaments, found with and without the known spacing.
    sites : int
        How many sites were learned from.
    """

    found: Coordinates
    scores: PointScores
    traced: PointScores
    free: PointScores
    spacings_nm: NDArray[np.float64]
    free_spacings_nm: NDArray[np.float64]
    sites: int


def mark_troponins(seen: Sequence[tuple[Path, Simulated]], out: Path) -> list[Path]:
    """Write the true troponins of micrographs as tables, as a Points layer of each would be saved."""
    files = []
    for path, simulated in seen:
        marked = Coordinates(
            points=simulated.troponins, pixel_nm=simulated.pixel_nm, shape=simulated.mask.shape
        )
        files.append(out / f"{path.stem}_troponin.csv")
        write_coordinates(files[-1], marked, format="csv")
    return files


def find_troponins(
    seen: Sequence[tuple[Path, Simulated]], unseen: tuple[Path, Simulated], traces: Path, out: Path
) -> Troponins | str:
    """Learn from the troponins along traced filaments, find and write those of an unseen micrograph.

    Parameters
    ----------
    seen, unseen : (Path, Simulated)
        Micrographs with their truth; that of the unseen one is only used for the scores.
    traces : Path
        Folder with the filaments of all of them as CSV.
    out : Path
        Folder for the filters, the points and the tables of points they were learned from.

    Returns
    -------
    Troponins or str
        Or why none can be found.
    """
    images = [path for path, _ in seen]
    path, simulated = unseen
    lines = [coordinate_file(traces, image, "csv") for image in (*images, path)]
    try:
        filters = learn_files(images, mark_troponins(seen, out / "marked"), lines)
    except CellsegError as error:
        return str(error)
    filters.save(out / FILTERS)
    (done,) = point_files([path], out, filaments=lines, filters=out / FILTERS, settings=SETTINGS)
    if done.status == "failed":
        return done.message
    found = done.coordinates
    loose = replace(found, filaments=())
    write_coordinates(coordinate_file(out, path, "relion"), loose, format="relion")
    free = find_sites(simulated.image, found.filaments, filters, pixel_nm=simulated.pixel_nm, settings=FREE)
    return _scored(found, free, simulated, filters.sites)


def _scored(found: Coordinates, free: Coordinates, simulated: Simulated, sites: int) -> Troponins:
    tolerance_px = TOLERANCE_NM / simulated.pixel_nm
    true = simulated.troponins
    on = owned(true, np.zeros(len(true)), found.filaments, SETTINGS.reach_nm / simulated.pixel_nm)
    return Troponins(
        found,
        point_scores(found.points, true, tolerance_px=tolerance_px),
        point_scores(found.points, on.points[_owners(on) > 0], tolerance_px=tolerance_px),
        point_scores(free.points, true, tolerance_px=tolerance_px),
        _distances_nm(found, simulated.pixel_nm),
        _distances_nm(free, simulated.pixel_nm),
        sites,
    )


def _distances_nm(points: Coordinates, pixel_nm: float) -> NDArray[np.float64]:
    arcs_px = np.zeros(0) if points.arcs_px is None else points.arcs_px
    return spacings(_owners(points), arcs_px * pixel_nm, SETTINGS.spacing_nm)


def _owners(points: Coordinates) -> NDArray[np.int64]:
    return np.zeros(len(points.points), np.int64) if points.owners is None else points.owners


def troponin_sections(
    result: Troponins | str, strip: Strip | None, simulated: Simulated, marked: int
) -> tuple[Section, ...]:
    """Return the sections of the page: found points on a strip and the scores, then the spacings.

    Parameters
    ----------
    result : Troponins or str
        As `find_troponins` returns it.
    strip : Strip or None
        A straightened filament of the unseen micrograph.
    simulated : Simulated
        That micrograph.
    marked : int
        How many training micrographs there were.
    """
    title = "Troponin along the filaments"
    if isinstance(result, str):
        return (Section(title, (f"None was looked for: {result}.",)),)
    text = (
        f"Filters learned from {result.sites} sites, marked on the {marked} training micrographs as in a "
        "Points layer, look along the traced filaments, with the known spacing of "
        f"{SETTINGS.spacing_nm:g} nm. A point is right within {TOLERANCE_NM:g} nm of a true one of its own.",
        "The folder troponin has the points as CSV, with their score and filament, and as a STAR file of "
        f"particles, the filters ({FILTERS}), and the points they were learned from.",
    )
    rows = (
        _row("all in the field", result.scores),
        _row("those on traced filaments", result.traced),
        _row("all, found without the spacing", result.free),
    )
    table = Table(("troponin", "found", "true", "precision", "recall", "F1"), rows)
    pictures = () if strip is None else (_strip_picture(result, strip, simulated),)
    return Section(title, text, pictures, (table,), wide=True), _spacings(result)


def _spacings(result: Troponins) -> Section:
    known, free = (
        draw_spacings(one, SETTINGS.spacing_nm) for one in (result.spacings_nm, result.free_spacings_nm)
    )
    pictures = (
        Picture("With the known spacing", "The points as written. That they keep it proves nothing.", known),
        Picture("Without it", "What the micrograph says of itself.", free),
    )
    text = "How far it is from each site to the next; the line marks the spacing that is known."
    return Section("Spacings of troponin", (text,), pictures)


def _strip_picture(result: Troponins, strip: Strip, simulated: Simulated) -> Picture:
    near_px = TOLERANCE_NM / simulated.pixel_nm
    on = owned(
        simulated.troponins,
        np.zeros(len(simulated.troponins)),
        result.found.filaments,
        SETTINGS.reach_nm / simulated.pixel_nm,
    )
    number = strip.filament.id
    found, true = (strip.to_strip(one.points[_owners(one) == number]) for one in (result.found, on))
    caption = (
        "The longest filament, straightened, cut into pieces one below the other. Circles were found: blue "
        "ones have a true troponin within 4 nm, red-purple ones have not; yellow crosses were missed."
    )
    return Picture("Found troponins", caption, draw_strip(strip.pixels, found, true, near_px=near_px))


def _row(name: str, scores: PointScores) -> tuple[str, ...]:
    shares = (scores.precision, scores.recall, scores.f1)
    figures = ("-" if share is None else f"{share:.3f}" for share in shares)
    return (name, str(scores.found), str(scores.true), *figures)
