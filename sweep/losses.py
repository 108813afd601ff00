"""The three losses: from logits `[N, C]` and integer labels `[N]` to their mean over the N images.

Cross-entropy and sparse cross-entropy are one function under two names: the first takes one-hot targets, the
second integer labels. Both are kept, as a control: with equal seeds all their numbers must be identical. So both
average the images' losses in the same way; left to themselves they differ in the last bit of the average.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy against one-hot targets, in nats.

    Source: `torch.nn.functional.cross_entropy` with class probabilities.
    """
    targets = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.cross_entropy(logits, targets, reduction="none").mean()


def sparse_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy against integer labels, in nats.

    Source: `torch.nn.functional.cross_entropy` with class indices.
    """
    return functional.cross_entropy(logits, labels, reduction="none").mean()


def hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean multi-class hinge loss: max(0, 1 - logit of the label + other logit), summed over others, divided by C.

    Source: `torch.nn.MultiMarginLoss` with margin 1 and p = 1 (Crammer and Singer, 2001).
    """
    return nn.MultiMarginLoss()(logits, labels)  # type: ignore[no-any-return]


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "sparse_cross_entropy": sparse_cross_entropy,
    "hinge": hinge,
}
