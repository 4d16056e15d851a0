"""Make the pictures of the docks for single cells: docs/images/gallery.png, classify.png.

Everything in them is real: an export of an imaging flow cytometer and a field of cells are
simulated, a part of the cells gets its true class as a person would give it, the rest is named
by a network trained from the dock.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/cell_screenshots.py
"""

import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication, QWidget

from napari_cellseg.gui.cells.set import LABELS
from napari_cellseg.gui.classify import ClassifyDock
from napari_cellseg.gui.gallery import GalleryDock
from napari_cellseg.images.crops import measure_crops
from napari_cellseg.images.simulate.cell_field import CellFieldSettings, simulate_cells
from napari_cellseg.images.simulate.ideas_export import IdeasExportSettings, simulate_ideas_export

OUT = Path(__file__).parents[1] / "docs" / "images"
SETTINGS = IdeasExportSettings(cells=500, samples=2, group_effect=0.05, class_folders=False, duplicates=0)
FIELD = CellFieldSettings(shape=(900, 800), cells=220, radius_px=12)
MINUTES = 8


def wait(seconds: float, until=lambda: False) -> None:
    """Run the event loop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        QApplication.processEvents()
        time.sleep(0.01)


def window() -> tuple[napari.Viewer, ClassifyDock, GalleryDock]:
    """Open the viewer with both docks."""
    viewer = napari.Viewer()
    viewer.window.resize(1500, 940)
    classify, gallery = ClassifyDock(viewer), GalleryDock(viewer)
    viewer.window.add_dock_widget(gallery, name="Gallery", area="right")
    viewer.window.add_dock_widget(classify, name="Classify", area="right", tabify=True)
    return viewer, classify, gallery


def learn(classify: ClassifyDock, labels: dict[int, str]) -> None:
    """Say what some cells are and train from the dock."""
    for name in sorted(set(labels.values())):
        classify.cells.curation.assign([k for k, label in labels.items() if label == name], name)
    classify.cells.changed.emit(LABELS)
    classify.train()
    wait(MINUTES * 60, lambda: not classify.running)
    print(classify.message.text())


def shoot(viewer: napari.Viewer, dock: QWidget, name: str) -> None:
    """Take a picture of the window with this dock in front."""
    dock.native.parent().raise_()
    wait(2)
    viewer.window.screenshot(str(OUT / name), canvas_only=False, flash=False)


def gallery_picture(folder: Path) -> None:
    """Show an export, a third of it labelled, the rest named by a network, the doubtful first."""
    truth = simulate_ideas_export(folder / "lake", settings=SETTINGS, seed=5)
    viewer, classify, gallery = window()
    classify.source.open(folder / "lake")
    wait(60, lambda: classify.cells is not None and classify.source.job is None)
    label_of = dict(zip(zip(truth.samples, truth.objects, strict=True), truth.labels, strict=True))
    ids = [str(name).rpartition("_") for name in classify.cells.crops.ids]
    known = {k: str(label_of[ids[k][0], int(ids[k][2])]) for k in range(0, len(ids), 3)}
    learn(classify, known)
    gallery.view_row.mode.setCurrentText("merge")
    gallery.order_row.order.setCurrentText("doubt (margin)")
    gallery.fold.expand(animate=False)
    wait(5, lambda: gallery.grid.missing == 0)
    gallery.grid.choose(1)
    gallery.act("doubt")
    gallery.grid.choose(4)
    gallery.grid.choose(7, extend=True)
    shoot(viewer, gallery, "gallery.png")
    viewer.close()


def classify_picture() -> None:
    """Show a field of cells, half of them called by size as a person would, the rest by a network."""
    viewer, classify, _ = window()
    field = simulate_cells(7, settings=FIELD)
    place = {"scale": (field.pixel_nm,) * 2, "units": ("nm", "nm")}
    viewer.add_image(field.image, name="simulated cells", **place)
    viewer.add_labels(field.instances, name="cells", **place)
    classify.source.take_objects()
    wait(60, lambda: classify.cells is not None and classify.source.job is None)
    area = measure_crops(classify.cells.crops).column("area_px2")
    names = np.array(["small", "medium", "large"])[np.digitize(area, np.quantile(area, (0.33, 0.66)))]
    learn(classify, {k: str(names[k]) for k in range(0, len(names), 2)})
    viewer.reset_view()
    shoot(viewer, classify, "classify.png")
    viewer.close()


def main() -> None:
    """Make both pictures."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        gallery_picture(Path(folder))
    classify_picture()


if __name__ == "__main__":
    main()
