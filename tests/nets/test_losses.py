import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_cellseg.nets.losses import IGNORED, LOSSES, cross_entropy, dice

NAMES = list(LOSSES)


def logits_for(targets, outputs, strength=50.0):
    """Return logits that are sure of the targets (and of background where nothing is known)."""
    chosen = torch.nn.functional.one_hot(targets.clamp_min(0), outputs).movedim(-1, 1)
    return strength * (2.0 * chosen - 1)


def test_cross_entropy_of_a_case_done_by_hand():
    # two pixels known: p(right) = 1/2 and e / (1 + e)
    logits = torch.tensor([[[[0.0, 1.0, 9.0]], [[0.0, 0.0, 0.0]]]])
    targets = torch.tensor([[[1, 0, IGNORED]]])
    expected = (math.log(2) - math.log(math.e / (1 + math.e))) / 2
    assert cross_entropy(logits, targets).item() == pytest.approx(expected, rel=1e-6)


def test_weights_of_the_classes_done_by_hand():
    logits = torch.tensor([[[[0.0, 1.0]], [[0.0, 0.0]]]])
    targets = torch.tensor([[[1, 0]]])
    weights = torch.tensor([1.0, 3.0])
    expected = (3 * math.log(2) - math.log(math.e / (1 + math.e))) / 4
    assert cross_entropy(logits, targets, weights).item() == pytest.approx(expected, rel=1e-6)


def test_dice_of_a_case_done_by_hand():
    # probabilities 1/2 on four known pixels, two of them the class: (2 * 1 + 1) / (2 + 2 + 1)
    targets = torch.tensor([[[1, 1, 0, 0, IGNORED]]])
    assert dice(torch.zeros(1, 2, 1, 5), targets).item() == pytest.approx(1 - 3 / 5)


def test_dice_is_taken_over_the_batch_and_leaves_background_out():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((3, 4, 5, 6), generator=generator)
    targets = torch.randint(IGNORED, 4, (3, 5, 6), generator=generator)
    probabilities, scores = logits.softmax(1), []
    for k in (1, 2, 3):
        known = targets != IGNORED
        p, t = probabilities[:, k][known], (targets == k)[known].float()
        scores.append((2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    assert dice(logits, targets).item() == pytest.approx(1 - torch.stack(scores).mean().item(), rel=1e-5)


def test_sum_of_both():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((2, 3, 4, 4), generator=generator)
    targets = torch.randint(IGNORED, 3, (2, 4, 4), generator=generator)
    weights = torch.tensor([0.5, 1.0, 2.0])
    both = LOSSES["dice+ce"].compute(logits, targets, weights)
    assert both.item() == pytest.approx(
        (dice(logits, targets) + cross_entropy(logits, targets, weights)).item()
    )


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_cost_nothing_and_teach_nothing(name):
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn((2, 3, 8, 8), generator=generator)
    targets = torch.randint(0, 3, (2, 8, 8), generator=generator)
    ignored = torch.rand((2, 8, 8), generator=generator) < 0.5
    targets[ignored] = IGNORED
    wild = logits + 1000 * torch.randn(logits.shape, generator=generator) * ignored[:, None]
    leaf = wild.clone().requires_grad_()
    loss = LOSSES[name].compute(leaf, targets, None)
    loss.backward()
    assert loss.item() == pytest.approx(LOSSES[name].compute(logits, targets, None).item(), rel=1e-5)
    known = (~ignored)[:, None].expand_as(logits)
    assert (leaf.grad[~known] == 0).all()
    assert (leaf.grad[known] != 0).any()


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 9.0])])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_annotated(name, weights):
    logits = torch.randn((2, 2, 4, 4), generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = LOSSES[name].compute(logits, torch.full((2, 4, 4), IGNORED), weights)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("outputs", [2, 3, 6])
@pytest.mark.parametrize("name", NAMES)
def test_perfect_costs_nearly_nothing_and_the_opposite_much(name, outputs):
    targets = torch.randint(IGNORED, outputs, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    assert LOSSES[name].compute(logits_for(targets, outputs), targets, None).item() < 1e-3
    assert LOSSES[name].compute(-logits_for(targets, outputs), targets, None).item() > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_only_background_is_no_division_by_zero(name):
    targets = torch.zeros((1, 4, 4), dtype=torch.int64)
    assert LOSSES[name].compute(logits_for(targets, 3), targets, None).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_leads_downhill(name):
    targets = torch.randint(IGNORED, 3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    logits = torch.zeros((2, 3, 8, 8), requires_grad=True)
    loss = LOSSES[name].compute(logits, targets, None)
    loss.backward()
    better = LOSSES[name].compute(logits.detach() - logits.grad, targets, None)
    assert better < loss


@given(data=st.data(), name=st.sampled_from(NAMES), weighted=st.booleans())
def test_finite_whatever_comes(data, name, weighted):
    n, k, y, x = data.draw(array_shapes(min_dims=4, max_dims=4, max_side=4))
    k += 1
    values = data.draw(arrays("float32", (n, k, y, x), elements=st.floats(-1e4, 1e4, width=32)))
    targets = torch.from_numpy(data.draw(arrays("int64", (n, y, x), elements=st.integers(IGNORED, k - 1))))
    logits = torch.from_numpy(values).requires_grad_()
    loss = LOSSES[name].compute(logits, targets, torch.linspace(0.1, 10, k) if weighted else None)
    loss.backward()
    assert loss.ndim == 0
    assert 0 <= loss.item() + 1e-5 < math.inf
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_described(name):
    assert LOSSES[name].description
