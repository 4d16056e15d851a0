import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.train.records import Epoch, Finished, Started, Step, from_line, to_line

numbers = st.integers(0, 10**6)
amounts = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
RECORDS = {
    "started": st.builds(
        Started, texts, texts, numbers, numbers, numbers, numbers, numbers, st.lists(texts).map(tuple)
    ),
    "step": st.builds(Step, numbers, numbers, amounts, amounts),
    "epoch": st.builds(
        Epoch, numbers, numbers, amounts, amounts, amounts, st.dictionaries(texts, st.none() | amounts),
        amounts, amounts, st.booleans(),
    ),
    "finished": st.builds(Finished, texts, numbers, amounts, texts, amounts, numbers),
}  # fmt: skip


@pytest.mark.parametrize("event", RECORDS)
@given(data=st.data())
def test_round_trip(event, data):
    record = data.draw(RECORDS[event])
    line = to_line(record)
    assert "\n" not in line
    assert json.loads(line)["event"] == event
    assert from_line(line) == record
    assert from_line(line + "\n") == record


@pytest.mark.parametrize("unknown", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_travels_as_null(unknown):
    epoch = Epoch(1, 2, unknown, 0.5, unknown, {"a": None}, 0.1, 1.0, best=True)
    line = to_line(epoch)

    def refuse(constant):
        raise AssertionError(constant)

    values = json.loads(line, parse_constant=refuse)
    assert (values["train_loss"], values["score"], values["validation_loss"]) == (None, None, 0.5)
    assert from_line(line).score is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"event": "party"}',
        '{"event": null}',
        '{"event": ["step"]}',
        "epoch 1",
    ],
)
def test_other_lines(line):
    with pytest.raises(ValueError, match=r".*"):
        from_line(line)


@pytest.mark.parametrize("line", ['{"event": "step"}', '{"event": "step", "step": 1, "mood": "good"}'])
def test_records_with_other_keys(line):
    with pytest.raises(ValueError, match="not a record of training"):
        from_line(line)


def test_importing_costs_no_torch():
    code = "import sys, napari_cellseg.train.records; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
