"""Make the picture of single cells: docs/images/cells.png.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshot_cells.py MODEL

The model was trained with `--polarity instances`, as `benchmarks/dsb2018.py --work DIR` leaves one.
The field is simulated.
"""

import argparse
from pathlib import Path

import napari
from screenshots import shoot, wait

from napari_cellseg.gui.layers import linked
from napari_cellseg.gui.segment import SegmentDock
from napari_cellseg.images.simulate.cell_field import CellFieldSettings, simulate_cells

SECONDS = 600


def main() -> None:
    """Segment the image, find its cells and take a picture of the window."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(1440, 940)
    field = simulate_cells(5, settings=CellFieldSettings(shape=(520, 696), cells=120, radius_px=12))
    viewer.add_image(field.image, name="simulated cells")
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment", area="right")
    dock.model_row.choose(options.model)
    dock.start()
    wait(SECONDS, lambda: dock.job is None and bool(linked(viewer, "instances")))
    viewer.reset_view(margin=0)
    shoot(viewer, dock, "cells.png")
    print(dock.message.text())
    viewer.close()


if __name__ == "__main__":
    main()
