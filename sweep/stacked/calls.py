"""A step written out: forward, gradients and Adam as a list of prepared calls into buffers made once.

Each call is an operator that autograd or `torch.optim.Adam` uses itself, so a step's numbers are theirs. How the matrix
products of the replicates are made is left to the kind of step.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sweep.config import TrialConfig
from sweep.engine import TrainingImages
from sweep.stacked.buffers import MOMENTS, Layers, Stack, batch_buffer, elementwise_parts, gapless_parts

Call = Callable[[], object]
_aten = torch.ops.aten
# In place on a layer's outputs.
ACTIVATIONS = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_}
# The operators of autograd: (operator, its arguments after the gradient of the output and the output).
_ACTIVATION_GRADIENTS: dict[str, tuple[Callable[..., object], tuple[float, ...]]] = {
    "relu": (_aten.threshold_backward.grad_input, (0,)),
    "sigmoid": (_aten.sigmoid_backward.grad_input, ()),
    "tanh": (_aten.tanh_backward.grad_input, ()),
}
_LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": functional.cross_entropy,
    "sparse_cross_entropy": functional.cross_entropy,
    "hinge": functional.multi_margin_loss,
}


class Step(ABC):
    """A step of a group with batches of B images, to be repeated.

    Args:
        stack: Parameters and moments of the group.
        trial: The grid point.
        training: The training split, on the device of the stack.
        batch_size: B.
        num_steps: S, the most steps that `repeat` takes.
    """

    # Whether replicates are divided into groups that fit the cache, and the most steps to repeat at once.
    in_groups: ClassVar[bool]
    most_steps: ClassVar[int | None]

    def __init__(
        self, stack: Stack, trial: TrialConfig, training: TrainingImages, batch_size: int, num_steps: int
    ) -> None:
        self._trial, self._training, self._batch_size, self._num_steps = trial, training, batch_size, num_steps
        self._num_replicates, self._device = stack.num_replicates, stack.num_steps.device
        layers, gradients = stack.layers("parameters"), stack.layers("gradients")
        widths = [weight.shape[1] for weight, _ in layers]
        # Of every layer; the first are the inputs, which need no gradient.
        self._outputs = [self._buffer(width) for width in (training.images.shape[1], *widths)]
        self._gradients = [self._buffer(width) for width in widths]
        self._inputs, self._logits, self._logit_gradients = (
            self._outputs[0][1],
            self._outputs[-1][1],
            self._gradients[-1][1],
        )
        # What the loss's gradient needs of the labels. For hinge these themselves, `[R, B]`; for cross-entropy its
        # gradient with respect to the logarithms of the probabilities, `[R, B, C]`: -1/B at the label.
        shape, kind = ((), torch.int64) if trial.loss == "hinge" else ((training.num_classes,), torch.float32)
        self._targets = torch.zeros(self._num_replicates, batch_size, *shape, dtype=kind, device=self._device)
        loss_gradient = self._hinge_gradient if trial.loss == "hinge" else self._cross_entropy_gradient
        self._calls = [*self._forward(layers), *loss_gradient(), *self._backward(layers, gradients), *self._adam(stack)]

    @abstractmethod
    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""

    @abstractmethod
    def _affine(self, bias: Tensor, inputs: Tensor, weight: Tensor, outputs: Tensor) -> Iterator[Call]:
        """Writes inputs x weight + bias to outputs, for each replicate."""

    @abstractmethod
    def _product(self, one: Tensor, other: Tensor, result: Tensor) -> Iterator[Call]:
        """Writes one x other to result, for each replicate."""

    def _sums(self, logits: Iterable[Tensor], labels: Iterable[Tensor]) -> Tensor:
        """Gives what `repeat` does, of logits `[N, C]` and labels `[N]` of each replicate."""
        rows = list(zip(logits, labels, strict=True))
        losses = [_LOSSES[self._trial.loss](row, row_labels, reduction="none") for row, row_labels in rows]
        correct = [row.argmax(1) == row_labels for row, row_labels in rows]
        return torch.stack([torch.stack([row.double().sum() for row in values]) for values in (losses, correct)])

    def _forward(self, layers: Layers) -> Iterator[Call]:
        for depth, (weight, bias) in enumerate(layers):
            (flat, inputs), (_, outputs) = self._outputs[depth : depth + 2]
            for part in elementwise_parts(flat) if depth else ():
                yield partial(ACTIVATIONS[self._trial.activation], part)
            yield from self._affine(bias, inputs, weight.transpose(1, 2), outputs)

    def _cross_entropy_gradient(self) -> Iterator[Call]:
        for logits, targets, gradient in gapless_parts(self._logits, self._targets, self._logit_gradients):
            logs = torch.empty(logits.shape, device=self._device)
            yield partial(torch._log_softmax, logits, -1, False, out=logs)
            yield partial(torch._log_softmax_backward_data, targets, logs, -1, torch.float32, out=gradient)

    def _hinge_gradient(self) -> Iterator[Call]:
        power, margin, weight, mean, one = 1, 1.0, None, 1, torch.ones((), device=self._device)
        for logits, labels, gradient in zip(self._logits, self._targets, self._logit_gradients, strict=True):
            operands = (one, logits, labels, power, margin, weight, mean)
            yield partial(_aten.multi_margin_loss_backward.grad_input, *operands, grad_input=gradient)

    def _backward(self, layers: Layers, layer_gradients: Layers) -> Iterator[Call]:
        operator, further = _ACTIVATION_GRADIENTS[self._trial.activation]
        for depth in reversed(range(len(layers))):
            (weight, _), (weight_gradient, bias_gradient) = layers[depth], layer_gradients[depth]
            (flat_inputs, inputs), (_, gradient) = self._outputs[depth], self._gradients[depth]
            yield from self._product(gradient.transpose(1, 2), inputs, weight_gradient)
            yield partial(torch.sum, gradient, 1, out=bias_gradient)
            if depth:
                flat_gradient, input_gradient = self._gradients[depth - 1]
                yield from self._product(gradient, weight, input_gradient)
                for part, outputs in zip(elementwise_parts(flat_gradient), elementwise_parts(flat_inputs), strict=True):
                    yield partial(operator, part, outputs, *further, grad_input=part)

    def _adam(self, stack: Stack) -> Iterator[Call]:
        yield partial(stack.num_steps.add_, torch.ones((), device=self._device))
        tensors = ([stack.flat[name].view(-1)] for name in ("parameters", "gradients", *MOMENTS))
        settings = {"lr": self._trial.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        yield partial(torch._fused_adam_, *tensors, [], [stack.num_steps], amsgrad=False, maximize=False, **settings)

    def _buffer(self, width: int) -> tuple[Tensor, Tensor]:
        return batch_buffer(self._num_replicates, self._batch_size, width, self._device)
