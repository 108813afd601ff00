"""The losses against values worked out by hand, and the control pair against each other."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import pieces

LOSSES = {name: pieces.load(path) for name, path in pieces.LOSSES.items()}

# Two images, three classes. exp gives (1, 2, 1) and (1, 1, 2): probabilities of the labels 1/2 and 1/4.
LOGITS = torch.tensor([[0.0, math.log(2), 0.0], [0.0, 0.0, math.log(2)]])
LABELS = torch.tensor([1, 0])


@pytest.mark.parametrize("name", ["cross_entropy", "sparse_cross_entropy"])
def test_cross_entropy_is_the_mean_logarithm_of_the_labels_probability(name: str) -> None:
    assert LOSSES[name](LOGITS, LABELS).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


@pytest.mark.parametrize("name", ["cross_entropy", "sparse_cross_entropy"])
def test_gradient_of_cross_entropy_is_probability_minus_target_over_the_images(name: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    LOSSES[name](logits, LABELS).backward()
    expected = torch.tensor([[0.25, 0.5 - 1, 0.25], [0.25 - 1, 0.25, 0.5]]) / 2
    torch.testing.assert_close(logits.grad, expected)


def test_hinge_sums_the_violated_margins_over_the_other_classes_and_divides_by_all() -> None:
    # First image: 1 - 3 + 2 = 0 and 1 - 3 + 2.5 = 0.5. Second: 1 - 0 + 0 = 1 and 1 - 0 - 4 < 0.
    logits = torch.tensor([[3.0, 2.0, 2.5], [0.0, 0.0, -4.0]])
    assert LOSSES["hinge"](logits, torch.tensor([0, 1])).item() == pytest.approx((0.5 / 3 + 1 / 3) / 2)


def test_gradient_of_hinge_counts_the_violated_margins() -> None:
    logits = torch.tensor([[3.0, 2.0, 2.5], [0.0, 0.0, -4.0]], requires_grad=True)
    LOSSES["hinge"](logits, torch.tensor([0, 1])).backward()
    expected = torch.tensor([[-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]) / (3 * 2)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("name", LOSSES)
def test_uniform_logits_give_the_loss_of_not_knowing(name: str) -> None:
    expected = 9 / 10 if name == "hinge" else math.log(10)
    assert LOSSES[name](torch.zeros(4, 10), torch.arange(4)).item() == pytest.approx(expected)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(2, 12), st.floats(0.1, 50))
def test_both_cross_entropies_and_their_gradients_are_the_same_to_the_last_bit(
    seed: int, num_images: int, num_classes: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_images, num_classes, generator=generator) * scale
    labels = torch.randint(0, num_classes, (num_images,), generator=generator)
    losses, gradients = [], []
    for name in ("cross_entropy", "sparse_cross_entropy"):
        leaf = logits.clone().requires_grad_()
        loss = LOSSES[name](leaf, labels)
        loss.backward()
        losses.append(loss.item())
        gradients.append(leaf.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert losses[0] == losses[1]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(2, 12))
def test_hinge_matches_its_definition(seed: int, num_images: int, num_classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_images, num_classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, num_classes, (num_images,), generator=generator)
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total += sum(max(0.0, 1 - row[label] + other) for k, other in enumerate(row) if k != label) / num_classes
    assert LOSSES["hinge"](logits, labels).item() == pytest.approx(total / num_images)
