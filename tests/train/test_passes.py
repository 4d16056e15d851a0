"""Parts of a batch add up to the whole, and memory that runs out makes them smaller."""

import pytest
import torch

from napari_cellseg.errors import CellsegError
from napari_cellseg.nets.losses import IGNORED
from napari_cellseg.train.passes import Passes

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn((6, 1, 8, 8), generator=GENERATOR)
TARGETS = (IMAGES[:, 0] > 0).long()
TARGETS[:, 0] = IGNORED


def loss(logits, targets):
    return torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED)


def gradients(at_a_time, net):
    net.zero_grad()
    told = Passes(net, loss, torch.Tensor.backward, at_a_time)(IMAGES, TARGETS)
    return told, [parameter.grad.clone() for parameter in net.parameters()]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return torch.nn.Conv2d(1, 2, 3, padding=1)


@pytest.mark.parametrize("at_a_time", [1, 2, 4, 6, 99])
def test_parts_add_up_to_the_whole(net, at_a_time):
    (whole, right, seen), expected = gradients(None, net)
    (found, right_too, seen_too), added = gradients(at_a_time, net)
    assert found == pytest.approx(whole, abs=1e-6)
    assert (right_too, seen_too) == (right, seen) == (right, 6 * 7 * 8)
    for one, other in zip(added, expected, strict=True):
        torch.testing.assert_close(one, other)


class Greedy(torch.nn.Conv2d):
    """Has no room for more than some windows."""

    def __init__(self, room):
        torch.manual_seed(0)
        super().__init__(1, 2, 3, padding=1)
        self.room, self.seen = room, []

    def forward(self, images):
        self.seen.append(len(images))
        if len(images) > self.room:
            raise MemoryError
        return super().forward(images)


def test_memory_that_runs_out_makes_parts_smaller_and_they_stay_so(net):
    _, expected = gradients(None, net)
    greedy = Greedy(2)
    passes = Passes(greedy, loss, torch.Tensor.backward)
    passes(IMAGES, TARGETS)
    assert passes.at_a_time == 2
    assert greedy.seen == [6, 3, 2, 2, 2]
    for parameter, one in zip(greedy.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, one)
    greedy.seen.clear()
    passes(IMAGES, TARGETS)
    assert greedy.seen == [2, 2, 2]


@pytest.mark.parametrize("count", [1, 6])
def test_no_room_for_a_single_window(count):
    passes = Passes(Greedy(0), loss, torch.Tensor.backward)
    with pytest.raises(CellsegError, match=r"8 x 8 px.*smaller --window-px"):
        passes(IMAGES[:count], TARGETS[:count])


def test_other_errors_are_not_taken_for_it(net):
    def broken(logits, targets):
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        Passes(net, broken, torch.Tensor.backward)(IMAGES, TARGETS)
