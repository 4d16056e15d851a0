"""A viewer that paints a stroke every half second until it is killed; says when each was made."""

import sys
import time


def main(folder: str) -> None:
    import napari
    from qtpy.QtCore import QTimer

    from napari_cellseg.gui.annotate import AnnotateDock
    from napari_cellseg.images.project import Project

    viewer = napari.Viewer(show=False)
    dock = AnnotateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Annotate")
    dock.set_project(Project.open(folder))
    dock.painted.brush_size = 1
    strokes = iter(range(64 * 80))

    def stroke() -> None:
        row, col = divmod(next(strokes), 80)
        dock.painted.paint((row, col), 2)
        print(row, col, time.time(), flush=True)

    timer = QTimer()
    timer.timeout.connect(stroke)
    timer.start(500)
    napari.run()


if __name__ == "__main__":
    main(sys.argv[1])
