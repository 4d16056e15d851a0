"""Rows of sites at a known spacing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellseg.objects.spacing import CLOSEST, best_chain

KNOWN = {"spacing_nm": 38.5, "spread_nm": 2.0}


def chain(along, values, **more):
    along = np.asarray(along, float)
    return best_chain(along, np.zeros(len(along)), np.asarray(values, float), **KNOWN | more).tolist()


@pytest.mark.parametrize(("along", "values"), [([], []), ([5], [-0.1]), ([5, 43], [-0.9, -0.9])])
def test_no_row(along, values):
    assert chain(along, values) == []


def test_a_weak_site_in_step_is_taken_and_one_out_of_step_is_not():
    assert chain([0, 38, 77], [0.5, -0.2, 0.5]) == [0, 1, 2]
    assert chain([0, 30, 77], [0.5, -0.2, 0.5]) == [0, 2]


def test_a_strong_site_out_of_step_stays_where_the_spacing_counts_little():
    assert chain([0, 50, 100], [1.0, 1.0, 1.0], weight=0.1) == [0, 1, 2]


def test_moves_across_count():
    off = np.array([0.0, 9.0, 0.0])
    found = best_chain(np.array([0, 38, 77.0]), off, np.array([0.5, -0.2, 0.5]), **KNOWN)
    assert found.tolist() == [0, 2]


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(-1, 1)), max_size=30), st.floats(0, 2))
def test_sites_are_in_order_and_never_too_close(sites, weight):
    sites = sorted(sites)
    along = [place for place, _ in sites]
    chosen = chain(along, [value for _, value in sites], weight=weight)
    assert chosen == sorted(set(chosen))
    assert (np.diff(np.array(along)[chosen]) >= CLOSEST * 38.5 - 1e-9).all()
