import numpy as np
import pytest
import tifffile

from napari_cellseg.errors import CellsegError
from napari_cellseg.report.study.plan import plan_study

from .conftest import STUDY


def plan(fields, *changes):
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (fields / "STUDY.yaml").write_text(text)
    return plan_study(fields / "STUDY.yaml")


SYSTEM = "  - default\n"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((SYSTEM, "  - defualt\n"), "line 12, column 5: system 'defualt': unknown preset 'defualt'.*default"),
        (
            (SYSTEM, "  - {name: a, settings: {architecture: unet, encoder: resnt18}}\n"),
            "unknown encoder 'resnt18'.*resnet18",
        ),
        ((SYSTEM, "  - {name: a, settings: {architecture: unett}}\n"), "unknown architecture.*unet"),
        ((SYSTEM, "  - {name: a, settings: {loss: dise}}\n"), "unknown loss 'dise'"),
        (
            (SYSTEM, "  - {name: a, settings: {epoch: 2}}\n"),
            "line 12, column 26: unknown setting 'epoch'.*'epochs'",
        ),
        (
            (SYSTEM, "  - {name: a, settings: {epochs: 0}}\n"),
            "line 12, column 5: system 'a': setting epochs = 0",
        ),
        ((SYSTEM, "  - {name: a, settings: {seed: 3}}\n"), "setting 'seed' in the settings .*`seeds`"),
        ((SYSTEM, "  - {name: a, settings: {left_out: x}}\n"), "setting 'left_out'"),
        ((SYSTEM, "  - {name: a, settings: {window_px: 34}}\n"), "window of 34 px.*multiple of 4"),
        ((SYSTEM, "  - {name: a, settings: {shrink: 2, prepare: resize}}\n"), "system 'a': .*beside"),
        ((SYSTEM, "  - {name: a, settings: {minutes: 1}}\nminutes: 2\n"), "setting 'minutes' .*`minutes`"),
        ((SYSTEM, "  - {name: report}\n"), "a system called 'report'"),
        (("classes: cell", "classes: [cell, ghost]"), "class 'ghost' is in no image that is learned from"),
        (("thin: []", "thin: [cel]"), "line 6, column 1: no class 'cel'.*'cell'"),
        (("holdout: 0.4", "holdout: 0.95"), "leaves nothing to learn from"),
        (("images/*.tif", "images/*_1.tif"), "4 masks without an image"),
        (("images/*.tif", "nowhere/*.tif"), "no images there"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(fields, change, says):
    with pytest.raises(CellsegError, match=says):
        plan(fields, change)


def test_a_mask_of_another_size(fields):
    tifffile.imwrite(fields / "masks/donor0_0_mask.tif", np.zeros((8, 8), np.uint8))
    with pytest.raises(CellsegError, match="8 x 8 pixels; expected 64 x 72"):
        plan(fields)


def test_a_tolerance_in_nm_needs_pixel_sizes(fields):
    tifffile.imwrite(fields / "images/donor0_0.tif", np.zeros((64, 72), np.float32))
    with pytest.raises(CellsegError, match="no pixel size in donor0_0"):
        plan(fields, ("thin: []", "tolerance_nm: 300"))


def test_the_split_is_scikit_learns_and_settings_come_in_order(fields):
    from sklearn.model_selection import train_test_split

    own = "  - {name: a, settings: {epochs: 7}}\n"
    found = plan(fields, (SYSTEM, SYSTEM + own), ("title: Cells", "minutes: 3"))
    names = [f"donor{number // 2}_{number}" for number in range(5)]
    train, test = train_test_split(names, test_size=0.4, random_state=42)
    (trial,) = found.trials
    assert (trial.name, trial.part.train, trial.part.test) == (
        "seed-42",
        tuple(sorted(train)),
        tuple(sorted(test)),
    )
    default, changed = found.systems
    assert (default.settings.epochs, changed.settings.epochs) == (2, 7)
    assert (default.settings.minutes, default.settings.width) == (3, 4)
    assert found.title == "STUDY"


def test_folds_seeds_and_groups_make_trials(fields):
    found = plan(fields, ("{holdout: 0.4, seed: 42}", "{folds: 3, group: {pattern: donor.}}\nseeds: [1, 2]"))
    assert [trial.name for trial in found.trials][:3] == ["fold-1-seed-1", "fold-1-seed-2", "fold-2-seed-1"]
    assert [trial.seed for trial in found.trials] == [1, 2] * 3
    for trial in found.trials:
        assert not {name[:6] for name in trial.part.train} & {name[:6] for name in trial.part.test}


def test_images_may_be_listed(fields):
    split = "{train: [images/donor0_0.tif, 'images/donor1*'], test: images/donor2_4.tif}"
    (fields / "masks/donor0_1_mask.tif").unlink()
    found = plan(fields, ("images: images/*.tif\n", ""), ("{holdout: 0.4, seed: 42}", split))
    assert found.trials[0].part.test == ("donor2_4",)
    assert found.samples.names == ("donor0_0", "donor1_2", "donor1_3", "donor2_4")


def test_a_class_left_out_is_neither_learned_nor_scored(fields):
    for number in range(5):
        path = fields / f"masks/donor{number // 2}_{number}_mask.tif"
        mask = (tifffile.imread(path) == 255).astype(np.uint8) * 2
        mask[:4] = 1
        tifffile.imwrite(path, mask)
    found = plan(
        fields,
        ("classes: cell", "classes: [noise, cell]\nleft_out: noise"),
        ("polarity: bright", "polarity: labels"),
    )
    assert found.samples.classes.targets == ("cell",)
    assert found.samples.mask_classes.targets == ("noise", "cell")
    sample = found.samples["donor0_0"]
    truth = sample.truth()
    assert set(np.unique(truth)) == {0, 1, 2}
    assert sample.pixels == tuple(np.bincount(truth.ravel()).tolist())
    assert found.systems[0].settings.left_out == "noise"


def test_a_class_that_is_tested_nowhere_is_said(fields):
    (fields / "masks/donor0_1_mask.tif").write_bytes((fields / "masks/donor0_0_mask.tif").read_bytes())
    empty = tifffile.imread(fields / "masks/donor2_4_mask.tif") * 0
    for number in (1, 4):
        tifffile.imwrite(fields / f"masks/donor{number // 2}_{number}_mask.tif", empty)
    found = plan(
        fields,
        ("{holdout: 0.4, seed: 42}", "{train: images/donor1*, test: [images/donor0_1.tif, images/donor2*]}"),
        ("images: images/*.tif\n", ""),
        ("masks/*.tif", "[masks/donor1*, masks/donor0_1*, masks/donor2*]"),
    )
    assert found.notices == ("class 'cell' is in no image that is tested on",)
