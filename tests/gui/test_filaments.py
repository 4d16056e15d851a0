from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellseg.errors import CellsegError
from napari_cellseg.formats.coordinates import WRITERS, read_coordinates
from napari_cellseg.gui.filaments import FilamentsDock
from napari_cellseg.gui.layers import KEY, Link, link_of, linked
from napari_cellseg.gui.prediction.result_layers import ResultLayers
from napari_cellseg.gui.traces.contamination import avoided, show_contamination
from napari_cellseg.gui.traces.export import add_to_list
from napari_cellseg.gui.traces.layer import FilamentLayer, new_filament_layer
from napari_cellseg.gui.traces.source import micrograph_for, sources, trace_steps
from napari_cellseg.images.annotation import Classes
from napari_cellseg.images.filament import Filament
from napari_cellseg.objects.settings import TraceSettings

SIDE = 160


def plane() -> np.ndarray:
    """Two bars of 7 px width: one along row 40, one along row 110 with a gap of 30 px."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[37:44, 10:150] = mask[107:114, 10:70] = mask[107:114, 100:150] = 255
    return mask


def segmented(viewer) -> ResultLayers:
    """A micrograph of 0.5 nm pixels, its probabilities and labels."""
    link = Link("image", "mic", path=Path("mics/mic.mrc"))
    source = viewer.add_image(
        plane().astype(np.float32), name="mic", scale=(0.5, 0.5), units=("nm", "nm"), metadata={KEY: link}
    )
    results = ResultLayers(viewer, source, Classes.of("actin", "other"), (SIDE, SIDE))
    results.probabilities[0].data[:] = plane()
    results.labels.data[:] = 1 + (plane() > 0)
    results.finish()
    return results


def traced(source, base, **settings):
    (found,) = trace_steps(source, base, TraceSettings(**settings))
    return found


def test_probabilities_of_our_own_are_offered_first_and_micrographs_not():
    viewer = ViewerModel()
    assert sources(viewer) == []
    viewer.add_labels(np.ones((4, 4), np.uint8), name="strange")
    segmented(viewer)
    viewer.add_image(np.zeros((4, 4), np.float32), name="from elsewhere")
    assert [one.title for one in sources(viewer)] == [
        "mic probabilities (other)",
        "mic probabilities (actin)",
        "mic labels: actin",
        "mic labels: other",
        "strange",
        "from elsewhere",
    ]


def test_labels_and_probabilities_give_the_same_filaments_on_the_micrograph():
    viewer = ViewerModel()
    segmented(viewer)
    by_title = {one.title: one for one in sources(viewer)}
    for title in ("mic probabilities (actin)", "mic labels: actin"):
        base = micrograph_for(viewer, by_title[title].layer)
        assert base is viewer.layers["mic"]
        found = traced(by_title[title], base)
        assert [round(one.path[:, 0].mean()) for one in found] == [40, 110, 110]
        assert found[0].length_px == pytest.approx(139, abs=2)
    assert traced(by_title["mic labels: other"], base) == []


def test_nothing_is_traced_on_carbon_painted_learned_or_found_and_what_was_found_is_shown():
    viewer = ViewerModel()
    results = segmented(viewer)
    source, base = sources(viewer)[1], viewer.layers["mic"]
    base.data = np.where(np.arange(SIDE) < 55, 40, 100)[:, None] + np.random.default_rng(0).normal(
        0, 3, (SIDE, SIDE)
    )
    found = avoided(viewer, source, base)
    assert not found.is_known
    contamination, filaments = trace_steps(source, base, TraceSettings(), avoid=found)
    assert contamination.mask[:45].all()
    assert not contamination.mask[100:].any()
    assert [round(one.path[:, 0].mean()) for one in filaments] == [110, 110]
    with pytest.raises(CellsegError, match="untick it"):
        avoided(viewer, source, None)

    results.labels.data[100:120, :80] = 3
    results.labels.metadata[KEY] = replace(link_of(results.labels), classes=Classes.of("actin", "ice"))
    (filaments,) = trace_steps(source, base, TraceSettings(), avoid=avoided(viewer, source, base))
    assert [round(one.path[:, 0].mean()) for one in filaments] == [40, 110]

    layer = show_contamination(viewer, source, contamination.mask)
    layer.data[:] = 0
    layer.data[35:45] = 1  # somebody corrected it
    (filaments,) = trace_steps(source, base, TraceSettings(), avoid=avoided(viewer, source, None))
    assert [round(one.path[:, 0].mean()) for one in filaments] == [110, 110]
    layer.data = layer.data[:100]
    with pytest.raises(CellsegError, match="other pixels"):
        avoided(viewer, source, base)


def test_filaments_of_a_coarser_plane_come_to_lie_upon_the_micrograph():
    viewer = ViewerModel()
    mic = viewer.add_image(np.zeros((SIDE, SIDE)), name="mic")
    labels = viewer.add_labels(plane()[::2, ::2], name="half", scale=(2, 2), translate=(0.5, 0.5))
    (source,) = [one for one in sources(viewer) if one.layer is labels]
    longest = traced(source, mic)[0]
    assert longest.path[:, 0] == pytest.approx(40.5, abs=0.6)
    assert longest.width_px in (6, 8)  # three or four rows of two pixels


def test_a_layer_of_filaments_tells_of_them_and_follows_what_is_drawn_in_it():
    viewer = ViewerModel()
    segmented(viewer)
    layer = new_filament_layer(viewer, viewer.layers["mic"])
    told = []
    edited = FilamentLayer(layer, lambda: told.append(len(edited.filaments)))
    assert (edited.filaments, link_of(layer).image, layer.scale.tolist()) == ((), "mic", [0.5, 0.5])
    first, second = Filament([[5, 5], [5, 105]], 1, 7.0, 0.9), Filament([[50, 5], [60, 105]], 2)
    edited.do("trace", edited.history.now.retraced([first, second]))
    assert layer.features["length_nm"].tolist() == pytest.approx([50, 50.25], abs=0.01)
    assert layer.features["locked"].tolist() == [False, False]
    edited.choose({2})
    assert layer.edge_width[1] == 2 * layer.edge_width[0]

    layer.add_paths([np.array([[90, 5], [90, 55], [95, 95]])])
    assert [one.locked for one in edited.filaments] == [False, False, True]
    assert layer.features["id"].tolist() == [1, 2, 3]
    layer.selected_data = {0}
    layer.remove_selected()
    assert [one.id for one in edited.filaments] == [2, 3]
    assert [one.id for one in edited.history.now.deleted] == [1]
    edited.undo()
    edited.undo()
    assert edited.history.next_undo == "trace"
    assert layer.nshapes == 2
    edited.undo()
    assert (layer.nshapes, edited.history.next_undo) == (0, None)
    edited.redo()
    np.testing.assert_array_equal(layer.data[1], second.path)
    assert told == [2, 3, 2, 3, 2, 0, 2]
    edited.released()
    assert [one.id for one in FilamentLayer(layer, lambda: None).filaments] == [1, 2]


@pytest.fixture
def dock(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy()
    made = FilamentsDock(viewer)
    viewer.window.add_dock_widget(made, name="Filaments", area="right")
    yield made
    qtbot.waitUntil(lambda: made.tracing.job is None and made.tracing.preview_job is None)
    made.closed()


def trace_in(dock, qtbot, title="mic labels: actin"):
    dock.tracing.choice.setCurrentText(title)
    with qtbot.waitSignal(dock.tracing.traced, timeout=20_000):
        dock.tracing.start()
    qtbot.waitUntil(lambda: dock.tracing.job is None)


def test_without_anything_the_dock_says_what_is_missing(dock):
    assert not dock.tracing.start_button.isEnabled()
    assert "segment an image" in dock.tracing.start_button.toolTip()
    dock.exporting.export(Path("nowhere.star"))
    assert "no filaments" in dock.message.text()


def test_from_labels_to_a_file(dock, qtbot, tmp_path):
    viewer = dock.viewer
    segmented(viewer)
    form = dock.tracing.forms["nm"]
    trace_in(dock, qtbot)
    assert dock.table.rowCount() == 3
    assert "3 filaments traced" in dock.message.text()
    assert dock.table.item(0, 1).text() == "70.0"
    assert "3 filaments" in dock.count.text()

    dock.table.selectRow(2)
    (number,) = dock.table.numbers
    assert dock.edited.chosen == {number}
    viewer.scene.camera.zoom = 50
    dock.table.selectRow(0)
    row, col = np.asarray(viewer.scene.camera.center)[-2:]
    assert (row, col) == (pytest.approx(20, abs=0.5), pytest.approx(39.75, abs=1))
    dock._clicked((110 * 0.5, 120 * 0.5), False)
    (number,) = dock.table.numbers
    assert dock.edited.history.now.filament(number).path[0, 0] == pytest.approx(110, abs=0.5)
    dock._clicked((0.0, 0.0), False)
    assert dock.table.numbers == []

    form.rows["gap_nm"].value = "20"
    trace_in(dock, qtbot)
    assert dock.table.rowCount() == 2
    assert len(linked(viewer, "filaments")) == 1

    dock.exporting.form.rows["step_px"].value = "10"
    for name, writer in WRITERS.items():
        dock.exporting.format.setCurrentIndex(list(WRITERS).index(name))
        path = tmp_path / f"mic{writer.ending}"
        dock.exporting.export(path)
        assert path.exists(), dock.message.text()
        assert writer.next_step in dock.message.text()
        assert len(read_coordinates(path, format=name, shape=(SIDE, SIDE)).filaments) == 2


def test_the_preview_stands_in_for_the_filaments(dock, qtbot):
    viewer = dock.viewer
    segmented(viewer)
    trace_in(dock, qtbot)
    layer = linked(viewer, "filaments")[0]
    dock.tracing.preview.setChecked(True)
    qtbot.waitUntil(lambda: bool(linked(viewer, "filaments preview")), timeout=20_000)
    assert not layer.visible
    assert linked(viewer, "filaments preview")[0].nshapes == 3
    dock.tracing.forms["nm"].rows["min_length_nm"].value = "50"
    qtbot.waitUntil(lambda: linked(viewer, "filaments preview")[0].nshapes == 1, timeout=20_000)
    dock.tracing.preview.setChecked(False)
    assert layer.visible
    assert linked(viewer, "filaments preview") == []


def test_lengths_are_in_pixels_where_the_pixel_size_is_not_known(dock, qtbot):
    dock.viewer.add_labels(plane(), name="mask")
    assert dock.tracing.settings.min_length_px is None
    assert "min_length_nm" not in dock.tracing.forms["px"].rows
    dock.tracing.forms["px"].rows["min_length_px"].value = "100"
    trace_in(dock, qtbot, "mask")
    assert dock.table.rowCount() == 1
    assert dock.table.horizontalHeaderItem(1).text() == "length\npx"


def test_relion_s_list_grows_and_counts_from_the_project(tmp_path):
    (tmp_path / "default_pipeline.star").touch()
    picks = tmp_path / "picks"
    picks.mkdir()
    for name in ("a", "b", "a"):
        add_to_list(picks / "autopick.star", str(tmp_path / f"mics/{name}.mrc"), picks / f"{name}.star")
    rows = (picks / "autopick.star").read_text().split("\n")
    assert [row.split() for row in rows if ".mrc" in row] == [
        ["mics/a.mrc", "picks/a.star"],
        ["mics/b.mrc", "picks/b.star"],
    ]
    (picks / "autopick.star").write_text("data_\n\nloop_\n_rlnOther #1\n1\n")
    with pytest.raises(CellsegError):
        add_to_list(picks / "autopick.star", "a.mrc", picks / "a.star")
