"""The losses that have a step written out: for torch's operators, and for numpy's, by columns.

Axis letters: R replicates, S steps, B samples of a batch, N samples, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sweep.loops.stacked.buffers import gapless_parts, padded

Call = Callable[[], object]
Floats = NDArray[np.float32]


class Columns(ABC):
    """A loss worked out in numpy for S steps, class by class: C lies before B.

    What is done for every sample of a batch then runs along the batch, which fills the processor's vectors, as C
    numbers of a sample seldom do. Everything is `[R, C, B]`, or `[R, 1, B]` where it is of a sample.

    Args:
        logits: Of every step, `[S, R, C, B]`; a step's are there when its calls are made.
        gradient: Where a step's gradient with respect to its logits is written, `[R, C, B]`.
    """

    def __init__(self, logits: Floats, gradient: Floats) -> None:
        self._logits, self._gradient = logits, gradient
        *stack, num_classes, batch_size = logits.shape
        self._to_targets = np.eye(num_classes, dtype=np.float32) * np.float32(self.at_class(batch_size))
        self._targets: Floats = padded(*logits.shape)[1].numpy()
        self._space: Floats = padded(*gradient.shape)[1].numpy()
        # Two numbers of each sample.
        self._rows: list[Floats] = [padded(*stack, 1, batch_size)[1].numpy() for _ in range(2)]

    def begin(self, classes: NDArray[np.int64]) -> None:
        """Takes the classes of the next steps' targets, `[S or fewer, R, B]`."""
        self._targets[: len(classes)] = self._to_targets[classes].swapaxes(-1, -2)

    @staticmethod
    @abstractmethod
    def at_class(batch_size: int) -> float:
        """What `_targets` are at a sample's class; elsewhere they are 0."""

    @abstractmethod
    def calls(self, step: int) -> Iterator[Call]:
        """Writes the gradient of a step."""

    @abstractmethod
    def of_samples(self, classes: NDArray[np.int64]) -> Floats:
        """Gives the losses of the steps that have been taken, as `classes` `[S or fewer, R, B]`."""

    def _of_classes(self, classes: NDArray[np.int64]) -> Floats:
        """The logits of the samples' own classes, `[S or fewer, R, 1, B]`."""
        found: Floats = np.take_along_axis(self._logits[: len(classes)], classes[:, :, None, :], axis=2)
        return found


class _CrossEntropyColumns(Columns):
    @staticmethod
    def at_class(batch_size: int) -> float:
        return -1 / batch_size

    def calls(self, step: int) -> Iterator[Call]:
        logits, gradient, space = self._logits[step], self._gradient, self._space
        largest, total = (rows[step] for rows in self._rows)
        num_classes, batch_size = logits.shape[-2:]
        yield partial(np.maximum.reduce, logits, -2, None, largest, True)
        yield partial(np.subtract, logits, largest, space)
        yield partial(np.exp, space, space)
        yield partial(np.matmul, np.full((1, num_classes), batch_size, np.float32), space, total)
        yield partial(np.divide, space, total, space)
        yield partial(np.add, space, self._targets[step], gradient)

    def of_samples(self, classes: NDArray[np.int64]) -> Floats:
        largest, total = (rows[: len(classes)] for rows in self._rows)
        losses: Floats = np.log(total / np.float32(classes.shape[-1])) + (largest - self._of_classes(classes))
        return losses[:, :, 0]


class _HingeColumns(Columns):
    @staticmethod
    def at_class(batch_size: int) -> float:
        return -1

    def calls(self, step: int) -> Iterator[Call]:
        # Counts of classes, whole numbers, are scaled once: sums of rounded ones, where 0 is due, Adam would amplify.
        logits, targets, gradient, space = self._logits[step], self._targets[step], self._gradient, self._space
        threshold, count = (rows[step] for rows in self._rows)
        num_classes, batch_size = logits.shape[-2:]
        each = np.ones((1, num_classes), np.float32)
        yield partial(np.multiply, logits, targets, space)
        yield partial(np.matmul, -each, space, threshold)
        yield partial(np.subtract, threshold, np.float32(1), threshold)
        yield partial(np.greater, logits, threshold, space)
        yield partial(np.matmul, each, space, count)
        yield partial(np.multiply, targets, count, gradient)
        yield partial(np.add, gradient, space, gradient)
        yield partial(np.multiply, gradient, np.float32(1 / (batch_size * num_classes)), gradient)

    def of_samples(self, classes: NDArray[np.int64]) -> Floats:
        over = np.maximum(self._logits[: len(classes)] - self._of_classes(classes) + np.float32(1), np.float32(0))
        # The class itself is over by 1, which is no loss.
        losses: Floats = (over.sum(axis=2) - np.float32(1)) / np.float32(over.shape[2])
        return losses


@dataclass(frozen=True)
class Loss:
    """What a step needs of a loss, which is averaged over a batch.

    Attributes:
        target_rows: Of C, B and a device: what `gradient` is told of a sample, by the class of its target `[C, ...]`.
        gradient: Of logits and log-probabilities `[R, B, C]` and targets `[R, B, ...]`: the calls that write the
            gradient with respect to the logits to its last argument, and the log-probabilities where they are used.
        of_samples: Of logits and log-probabilities `[N, C]` and classes `[N]`: the loss of each sample.
        columns: The same in numpy.
    """

    target_rows: Callable[[int, int, torch.device], Tensor]
    gradient: Callable[[Tensor, Tensor, Tensor, Tensor], Iterator[Call]]
    of_samples: Callable[[Tensor, Tensor, Tensor], Tensor]
    columns: type[Columns]


def _cross_entropy_gradient(logits: Tensor, log_probabilities: Tensor, targets: Tensor, out: Tensor) -> Iterator[Call]:
    for part, logs, part_targets, gradient in gapless_parts(logits, log_probabilities, targets, out):
        yield partial(torch._log_softmax, part, -1, False, out=logs)
        yield partial(torch._log_softmax_backward_data, part_targets, logs, -1, torch.float32, out=gradient)


def _hinge_gradient(logits: Tensor, log_probabilities: Tensor, targets: Tensor, out: Tensor) -> Iterator[Call]:
    power, margin, weight, mean, one = 1, 1.0, None, 1, torch.ones((), device=logits.device)
    gradient_of: Any = torch.ops.aten.multi_margin_loss_backward.grad_input
    for part, classes, gradient in zip(logits, targets, out, strict=True):
        operands = (one, part, classes, power, margin, weight, mean)
        yield partial(gradient_of, *operands, grad_input=gradient)


# A target is the gradient with respect to its log-probabilities: -1/B at its class.
CROSS_ENTROPY = Loss(
    target_rows=lambda num_classes, size, device: torch.zeros(2 * (num_classes,), device=device).fill_diagonal_(
        -1 / size
    ),
    gradient=_cross_entropy_gradient,
    of_samples=lambda logits, logs, classes: functional.nll_loss(logs, classes, reduction="none"),
    columns=_CrossEntropyColumns,
)
# A target is its class.
HINGE = Loss(
    target_rows=lambda num_classes, size, device: torch.arange(num_classes, device=device),
    gradient=_hinge_gradient,
    of_samples=lambda logits, logs, classes: functional.multi_margin_loss(logits, classes, reduction="none"),
    columns=_HingeColumns,
)
