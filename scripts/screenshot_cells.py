"""Make the picture of single cells: docs/images/cells.png.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshot_cells.py MODEL IMAGE

The model was trained with `--polarity instances`, as `benchmarks/dsb2018.py --work DIR` leaves one.
"""

import argparse
from pathlib import Path

import napari
from screenshots import shoot, wait

from napari_cellseg.gui.hooks import read_layers
from napari_cellseg.gui.layers import linked
from napari_cellseg.gui.segment import SegmentDock

SECONDS = 600


def main() -> None:
    """Segment the image, find its cells and take a picture of the window."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path)
    options = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(1440, 940)
    for data, keywords, _ in read_layers(str(options.image)):
        viewer.add_image(data, **keywords)
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
