"""Make the tutorial's pictures: docs/images/annotate.png, train.png and segment.png.

Everything in them is real: micrographs are simulated, strokes drawn on two, a network is
trained from the Train dock (minutes on a CPU) and the third micrograph is segmented.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshots.py
"""

import argparse
import tempfile
import time
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

from napari_cellseg.gui.annotate import AnnotateDock
from napari_cellseg.gui.dock import Dock
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

TRAINING = {"depth": 4, "width": 8, "pixel_nm": 0.8, "epochs": 12, "steps": 20, "batch": 6, "window_px": 128}
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
        train.form.show_settings(settings_from("filament", TRAINING))
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
        viewer.close()


if __name__ == "__main__":
    main()
