import numpy as np
import pytest
import tifffile

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.study.cells.plan import plan_cells


@pytest.fixture
def plan(tmp_path):
    """Return a function that plans a study of 40 cells of two classes and four days."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for number in range(20):
            picture = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            tifffile.imwrite(tmp_path / "cells" / name / f"day{number % 4}_{name}{number}.tif", picture)

    def make(text):
        path = tmp_path / "STUDY.yaml"
        path.write_text(f"crops: cells\n{text}\n")
        return plan_cells(path)

    return make


def test_one_set_of_channels_needs_no_name(plan):
    (system,) = plan("systems: [cells-best]\nchannels: [[red, green]]").systems
    assert (system.name, system.trees, system.channels) == ("cells-best", "boosted-trees", "red,green")


def test_every_system_on_every_set_of_channels(plan):
    found = plan(
        "systems: [cells-best, {preset: cells-fast, name: ours}]\nchannels: [red, [red, green, blue]]"
    )
    names = [system.name for system in found.systems]
    assert names == ["cells-best-red", "ours-red", "cells-best-red+green+blue", "ours-red+green+blue"]
    assert [system.settings.channels for system in found.systems[::2]] == ["red", "red,green,blue"]
    assert [system.trees for system in found.systems] == [
        "boosted-trees-red",
        "",
        "boosted-trees-red+green+blue",
        "",
    ]
    assert [system.settings.baseline for system in found.systems] == [True, False, True, False]
    assert all(system.settings.test == 0 for system in found.systems)


def test_folds_test_every_cell_once(plan):
    found = plan("systems: [cells-best]\nsplit: {folds: 4}")
    assert [trial.name for trial in found.trials] == ["fold-1", "fold-2", "fold-3", "fold-4"]
    ids = [name for trial in found.trials for name in trial.test]
    assert sorted(ids) == sorted(found.crops.ids.tolist())


def test_folds_by_sample(plan):
    found = plan('systems: [cells-best]\nsplit: {folds: 4}\ngroup: "^(day[0-9])"\nseeds: [1, 2]')
    assert len(found.trials) == 8
    for trial in found.trials:
        assert len({name.rpartition("/")[2].split("_")[0] for name in trial.test}) == 1


def test_a_study_can_go_on_only_with_the_same(plan):
    first = plan("systems: [cells-best]").described()
    assert first == plan("systems: [cells-best]").described()
    assert first != plan("systems: [cells-best]\nsplit: {seed: 7}").described()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("systems: [cells-bets]", r"line 2, column \d+: system 'cells-bets': unknown preset"),
        ("systems: [vessels]", "a preset that segments"),
        ("systems: [cells-best]\nmasks: m", "unknown key 'masks'"),
        ("systems: [cells-best]\nchannels: [Ch4]", "no channel 'Ch4'"),
        ("systems: [phyto-vgg16-I]\nchannels: [[red, green]]", "2 channels as RGB"),
        ("systems: [{preset: cells-best, settings: {head: V}}]", "unknown head 'V'"),
        ("systems: [cells-best, cells-best]", "system cells-best occurs twice"),
        ("systems: [{preset: cells-best, name: embeddings}]", "a system called 'embeddings'"),
        ("systems: [cells-best]\nsplit: {folds: 30}", "a class of 20 different cells for 30 folds"),
        ("systems: [cells-best]\nsplit: {folds: 3, holdout: 0.2}", "one of holdout and folds"),
        ("systems: [cells-best]\nsplit: {by_sample: true}", "split by sample, and one sample"),
        ("systems: []", "systems"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(plan, text, line):
    with pytest.raises(CellsegError, match=line):
        plan(text)
