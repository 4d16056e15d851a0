import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_cellseg.errors import CellsegError
from napari_cellseg.images.annotation import Classes
from napari_cellseg.nets.model import Model, ModelSpec
from napari_cellseg.nets.redundancy import gram_matrix, layer_information, mutual_information, renyi_entropy


def samples(seed: int, n: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, 5))


@given(seed=st.integers(0, 50), alpha=st.sampled_from([0.5, 1.01, 2, 5]))
def test_entropy_lies_between_all_alike_and_all_apart(seed, alpha):
    gram = gram_matrix(samples(seed))
    assert np.trace(gram) == pytest.approx(1)
    assert 0 <= renyi_entropy(gram, alpha) <= np.log2(12) + 1e-9


def test_entropy_of_order_2_as_calculated_by_hand():
    gram = np.array([[0.5, 0.3], [0.3, 0.5]])  # eigenvalues 0.8 and 0.2
    assert renyi_entropy(gram, 2) == pytest.approx(-np.log2(0.8**2 + 0.2**2))


@given(seed=st.integers(0, 50))
def test_what_two_views_share_is_no_more_than_either_has(seed):
    first, second = gram_matrix(samples(seed)), gram_matrix(samples(seed + 100))
    shared = mutual_information(first, second)
    assert shared == pytest.approx(mutual_information(second, first))
    assert -1e-6 <= shared <= min(renyi_entropy(first), renyi_entropy(second)) + 1e-6


@given(factor=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_scale_and_offset_of_a_layer_do_not_count(factor, shift):
    np.testing.assert_allclose(gram_matrix(samples(0) * factor + shift), gram_matrix(samples(0)), atol=1e-6)


def forgetful() -> Model:
    """A network whose first layer keeps all, the second the means of 8 x 8 px, the third nothing."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 2, 8, stride=8), nn.Conv2d(2, 2, 1))
    with torch.no_grad():
        for layer, weight in zip(net, (1.0, 1 / 64, 0.0), strict=True):
            layer.weight.fill_(weight)
            layer.bias.zero_()
    return Model(ModelSpec("unet", "resnet18", Classes.of("a"), stride=8), net)


def test_layers_that_forget_have_less_to_say():
    windows = np.random.default_rng(0).normal(0, 1, (20, 1, 16, 16)).astype(np.float32)
    model = forgetful()
    same, mean, nothing = layer_information(model, windows)
    assert [layer.name for layer in (same, mean, nothing)] == ["0", "1", "2"]
    assert [layer.shape for layer in (same, mean, nothing)] == [(1, 16, 16), (2, 2, 2), (2, 2, 2)]
    assert same.input_bits > mean.input_bits > nothing.input_bits == 0
    assert nothing.entropy_bits == 0
    assert not any(layer._forward_hooks for layer in model.net)


def test_windows_that_are_all_alike():
    found = layer_information(forgetful(), np.ones((5, 1, 16, 16), np.float32))
    assert all(layer.entropy_bits == layer.input_bits == 0 for layer in found)


@pytest.mark.parametrize("count", [0, 3])
def test_a_few_windows_tell_nothing(count):
    with pytest.raises(CellsegError, match=f"{count} windows"):
        layer_information(forgetful(), np.zeros((count, 1, 16, 16), np.float32))
