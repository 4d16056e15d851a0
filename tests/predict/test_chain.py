import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.errors import CellsegError
from napari_cellseg.predict.chain import (
    apply_chain,
    checked_chain,
    format_chain,
    parse_chain,
    starts_from_probabilities,
)
from napari_cellseg.predict.postprocess import STEPS, Area, Hysteresis, Smooth, Threshold

shares = st.floats(0.001, 0.999)
settings = {
    "threshold": st.builds(Threshold, value=shares),
    "hysteresis": st.tuples(shares, shares).map(lambda pair: Hysteresis(low=min(pair), high=max(pair))),
    "smooth": st.builds(Smooth, sigma_px=st.floats(0.3, 50)),
} | dict.fromkeys(
    ("remove-small", "fill-holes"),
    st.builds(Area, area_px=st.integers(1, 10**9)) | st.builds(Area, area_nm2=st.floats(1e-9, 1e9)),
)
starting = [name for name, step in STEPS.items() if step.from_probabilities]


def step(names):
    return st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), settings[name]))


chains = st.tuples(
    st.lists(step(starting), max_size=1), st.lists(step([n for n in STEPS if n not in starting]), max_size=4)
).map(lambda parts: (*parts[0], *parts[1]))


@given(chains)
def test_text_says_all_of_a_chain(chain):
    assert parse_chain(format_chain(chain)) == chain


@pytest.mark.parametrize("text", ["", " ", ";", " ; ;"])
def test_an_empty_text_is_an_empty_chain(text):
    assert parse_chain(text) == ()


def test_blanks_and_defaults():
    text = " hysteresis : low = 0.2 ;remove-small"
    assert parse_chain(text) == (("hysteresis", Hysteresis(low=0.2)), ("remove-small", Area()))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hysterisis", r"unknown step 'hysterisis'.*threshold.*mean 'hysteresis'"),
        ("dilate", r"unknown step 'dilate'.*list steps"),
        ("smooth:radius=2", r"step smooth: 'radius=2'.*sigma_px"),
        ("smooth:2", r"step smooth: '2'.*sigma_px"),
        ("threshold:value=2", r"step threshold: value = 2 .*less than 1"),
        ("threshold:value=x", r"step threshold: value = x .*number"),
        ("remove-small:area_px=0", r"area_px = 0 .*greater than or equal to 1"),
        ("fill-holes:area_px=9,area_nm2=2", r"step fill-holes: area_px and area_nm2 are both given"),
        ("hysteresis:low=0.7,high=0.3", r"step hysteresis: low = 0.7 is above high = 0.3"),
        ("smooth; threshold", r"step threshold starts anew"),
    ],
)
def test_a_text_that_is_none(text, says):
    with pytest.raises(CellsegError, match=says):
        parse_chain(text)


def test_steps_follow_one_another():
    filament = np.array([[0.9, 0.4, 0.1, 0.1, 0.9]], np.float32)
    probabilities = np.stack([1 - filament, filament])
    chain = parse_chain("hysteresis:low=0.3,high=0.6; remove-small:area_px=2")
    assert starts_from_probabilities(chain)
    out = apply_chain(np.zeros((1, 5), np.uint8), chain, probabilities=probabilities)
    assert out.tolist() == [[2, 2, 1, 1, 1]]


def test_no_step_gives_the_labels_back():
    labels = np.array([[1, 2]], np.uint8)
    assert apply_chain(labels, ()) is labels
    assert not starts_from_probabilities(())


def test_areas_in_nm2_need_a_pixel_size():
    labels, chain = np.array([[2, 1, 2, 2]]), parse_chain("remove-small:area_nm2=0.5")
    assert apply_chain(labels, chain, pixel_nm=0.5).tolist() == [[1, 1, 2, 2]]
    assert apply_chain(labels, chain, pixel_nm=2.0).tolist() == [[2, 1, 2, 2]]
    with pytest.raises(CellsegError, match="without a pixel size"):
        apply_chain(labels, chain)


def test_a_step_without_its_probabilities():
    with pytest.raises(CellsegError, match="no probabilities"):
        apply_chain(np.ones((2, 2), np.uint8), parse_chain("threshold"))


def test_a_chain_put_together_by_hand_is_checked():
    with pytest.raises(CellsegError, match="move it forward"):
        checked_chain([("smooth", Smooth()), ("threshold", Threshold())])
