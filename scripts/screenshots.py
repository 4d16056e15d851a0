"""Make the pictures of the docks: docs/images/annotate.png, train.png, segment.png, refine.png, why.png.

Everything in them is real: micrographs are simulated, strokes drawn on two, a network is
trained from the Train dock (minutes on a CPU) and the third micrograph is segmented.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshots.py
"""

import argparse
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication, QScrollArea
from scipy.ndimage import binary_erosion

from napari_cellseg.gui.annotate import AnnotateDock
from napari_cellseg.gui.dock import Dock
from napari_cellseg.gui.layers import linked
from napari_cellseg.gui.segment import SegmentDock
from napari_cellseg.gui.train import TrainDock
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.project import Project
from napari_cellseg.images.simulate import (
    SimulateSettings,
    simulate_micrograph,
    sparse_annotation,
    write_micrograph,
)
from napari_cellseg.nets.presets import settings_from
from napari_cellseg.predict.postprocess import remove_small

TRAINING = {"epochs": 12, "steps": 20}
OUT = Path(__file__).parents[1] / "docs" / "images"


def make_project(folder: Path) -> Project:
    """Simulate three micrographs and draw strokes on two."""
    settings = SimulateSettings(shape=(2048, 2048), pixel_nm=0.4, carbon=0.0, filaments=(4, 7))
    project = Project.create(folder / "actin", Classes.of("filament"))
    for number in (1, 2, 3):
        made = simulate_micrograph(number, settings=settings)
        record = project.add_image(write_micrograph(folder / f"mic_{number:03}.tif", made))
        if number < 3:
            project.save_labels(record.name, sparse_annotation(made, number))
    return project


def wait(seconds: float, until=lambda: False) -> None:
    """Run the event loop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        QApplication.processEvents()
        time.sleep(0.01)


def shoot(viewer: napari.Viewer, dock: Dock, name: str) -> None:
    """Take a picture of the window with this dock in front."""
    dock.native.parent().raise_()
    wait(1)
    viewer.window.screenshot(str(OUT / name), canvas_only=False, flash=False)


def shoot_foot(viewer: napari.Viewer, dock: Dock, name: str) -> None:
    """Take a picture of the window with the foot of this dock's column in sight."""
    wait(1)
    bar = dock.native.findChild(QScrollArea).verticalScrollBar()
    bar.setValue(bar.maximum())
    shoot(viewer, dock, name)


def clean_up_and_ask(viewer: napari.Viewer, segment: SegmentDock) -> None:
    """Take pictures of steps with their preview, and of what spoke for a filament."""
    labels, source = linked(viewer, "labels")[0], linked(viewer, "image")[0]
    inner = binary_erosion(remove_small(labels.data, area_px=4000) == 2, iterations=8)
    found = np.argwhere(inner)
    place = found[np.abs(found - np.array(labels.data.shape) / 2).sum(axis=1).argmin()]
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, *source.data_to_world(place)), 2 * camera.zoom
    segment.refining.steps.set_text("hysteresis:low=0.3,high=0.7; remove-small:area_nm2=400; smooth")
    segment.refining.preview.setChecked(True)
    wait(30, lambda: bool(linked(viewer, "preview")))
    shoot_foot(viewer, segment, "refine.png")
    segment.refining.end_preview()

    segment.explaining.mark()
    linked(viewer, "places")[0].add(place)
    camera.zoom = 2 * camera.zoom
    segment.explaining.ask()
    wait(300, lambda: segment.explaining.job is None)
    labels.visible = False
    print(segment.message.text())
    shoot_foot(viewer, segment, "why.png")


def main() -> None:
    """Go through the tutorial and take a picture of each dock."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20, help="longest time to wait for the training")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        viewer = napari.Viewer()
        viewer.window.resize(1440, 940)
        annotate, train, segment = AnnotateDock(viewer), TrainDock(viewer), SegmentDock(viewer)
        for name, dock in (("Annotate", annotate), ("Train", train), ("Segment", segment)):
            viewer.window.add_dock_widget(dock, name=name, area="right", tabify=dock is not annotate)
        annotate.set_project(project)
        annotate.paint_class()
        wait(3)
        viewer.reset_view(margin=0)
        shoot(viewer, annotate, "annotate.png")

        wait(30, train.start_button.isEnabled)
        train.form.show_settings(settings_from("filament-fast", TRAINING))
        train.model_name.setText("actin")
        train.start()
        wait(options.minutes * 60, lambda: len(train.curves.epochs) >= 8 or train.job is None)
        shoot(viewer, train, "train.png")
        wait(options.minutes * 60, lambda: train.job is None)
        print(train.message.text())

        annotate.show_image("mic_002")
        segment.form.rows["block_px"].value = "320"
        segment.segment_next()
        wait(300, lambda: segment.bar.value() > 0.6 * max(1, segment.bar.maximum()) or segment.job is None)
        shoot(viewer, segment, "segment.png")
        wait(300, lambda: segment.job is None)
        print(segment.message.text())
        clean_up_and_ask(viewer, segment)
        viewer.close()


if __name__ == "__main__":
    main()
