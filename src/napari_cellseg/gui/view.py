"""`python -m napari_cellseg.gui.view OUT`: what the demo made, open in napari with the docks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.annotate import AnnotateDock
from napari_cellseg.gui.filaments import FilamentsDock
from napari_cellseg.gui.hooks import read_layers
from napari_cellseg.gui.segment import SegmentDock
from napari_cellseg.gui.train import TrainDock
from napari_cellseg.images.project import Project

if TYPE_CHECKING:
    import napari.viewer


def show_demo(viewer: napari.viewer.Viewer, out: Path) -> None:
    """Open a demo's unseen micrograph with its results, and the docks with its project.

    Parameters
    ----------
    viewer : napari Viewer
    out : Path
        The folder that `napari-cellseg demo` made.

    Raises
    ------
    CellsegError
        If nothing of a demo is there.
    """
    projects = sorted(out.glob("*.cellseg"))
    results = sorted(out.glob("result/*.ome.zarr"))
    if not projects and not results:
        raise CellsegError(f"{out}: no demo here", remedy=f"run: napari-cellseg demo {out}")
    for result in results:
        name = result.name.removesuffix(".ome.zarr")
        images = [path for path in sorted(out.glob(f"unseen/{name}.*")) if path.suffix in (".mrc", ".tif")]
        if not images:
            continue  # one that was learned from: the Annotate dock opens it
        coordinates = *out.glob(f"filaments/{name}.csv"), *out.glob(f"troponin/{name}_points.csv")
        for path in (images[0], result, *coordinates):
            for data, keywords, kind in read_layers(str(path)):
                getattr(viewer, f"add_{kind}")(data, **keywords)
    docks = (
        ("Annotate", AnnotateDock(viewer)),
        ("Train", TrainDock(viewer)),
        ("Segment", SegmentDock(viewer)),
    )
    for number, (name, dock) in enumerate(docks):
        viewer.window.add_dock_widget(dock, name=name, area="right", tabify=number > 0)
        if projects:
            dock.set_project(Project.open(projects[0]))
    viewer.window.add_dock_widget(FilamentsDock(viewer), name="Filaments", area="right", tabify=True)
    viewer.reset_view()


def main(arguments: list[str]) -> int:
    """Open the demo in the folder named on the command line; 2 if there is none."""
    import napari

    viewer = napari.Viewer(title="napari-cellseg demo")
    try:
        show_demo(viewer, Path(arguments[0] if arguments else "."))
    except CellsegError as error:
        viewer.close()
        sys.stderr.write(f"{error}\n")
        return 2
    napari.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
