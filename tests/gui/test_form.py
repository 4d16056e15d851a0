import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.gui.form import Form, label_of
from napari_cellseg.nets.presets import PRESETS, settings_from
from napari_cellseg.settings import SegmentSettings, TrainSettings


@pytest.mark.parametrize("kind", [TrainSettings, SegmentSettings])
def test_an_untouched_form_gives_the_defaults(qtbot, kind):
    assert Form(kind, basic=("device",)).settings() == kind()


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_shown_comes_back(qtbot, preset):
    form = Form(TrainSettings, basic=("preset",), choices={"preset": list(PRESETS)})
    form.show_settings(settings_from(preset))
    assert form.settings() == settings_from(preset)


@given(values=st.fixed_dictionaries({"epochs": st.integers(1, 10_000), "batch": st.integers(1, 512)}))
def test_numbers_within_bounds_survive(qapp, values):
    form = Form(TrainSettings, basic=("epochs",))
    form.show_settings(TrainSettings(**values))
    assert form.settings() == TrainSettings(**values)


def test_every_row_explains_itself(qtbot):
    form = Form(TrainSettings, basic=("preset",))
    assert set(form.rows) == set(TrainSettings.model_fields)
    assert all(row.tooltip for row in form.rows.values())


@pytest.mark.parametrize(("text", "said"), [("soon", "a number or nothing"), ("-3", "minutes")])
def test_a_wrong_entry_is_named(qtbot, text, said):
    form = Form(TrainSettings, basic=("minutes",))
    form.rows["minutes"].value = text
    with pytest.raises(CellsegError, match=said):
        form.settings()


def test_an_empty_entry_means_automatic_and_a_comma_is_a_point(qtbot):
    form = Form(TrainSettings, basic=("pixel_nm",))
    assert form.settings().pixel_nm is None
    form.rows["pixel_nm"].value = " 0,6 "
    assert form.settings().pixel_nm == 0.6


def test_a_change_is_told_once(qtbot):
    form, told = Form(TrainSettings, basic=("epochs",)), []
    form.changed.connect(told.append)
    form.rows["epochs"].value = 7
    assert told == [form]


def test_labels_carry_units():
    assert label_of("pixel_nm") == "pixel (nm)"
    assert label_of("nm") == "nm"
