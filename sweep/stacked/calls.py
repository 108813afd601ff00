"""A step written out: forward, gradients and Adam as a list of prepared calls into buffers made once.

Each call is an operator that autograd or `torch.optim.Adam` uses itself, so a step's numbers are theirs. How the matrix
products of the replicates are made is left to the kind of step.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sweep.config import TrialConfig
from sweep.engine import TrainingImages
from sweep.stacked.buffers import MOMENTS, Stack, batch_buffer, elementwise_parts, gapless_parts

Call = Callable[[], object]
_aten = torch.ops.aten
# In place on a layer's outputs.
ACTIVATIONS = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_}
# The operators of autograd: (its name, its arguments after the gradient of the output and the output). By name, since
# a torch that lacks one can still score.
_ACTIVATION_GRADIENTS: dict[str, tuple[str, tuple[float, ...]]] = {
    "relu": ("threshold_backward", (0,)),
    "sigmoid": ("sigmoid_backward", ()),
    "tanh": ("tanh_backward", ()),
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

    # Whether replicates are divided into groups that fit the cache.
    in_groups: ClassVar[bool]

    def __init__(
        self, stack: Stack, trial: TrialConfig, training: TrainingImages, batch_size: int, num_steps: int
    ) -> None:
        self._stack, self._trial, self._training = stack, trial, training
        self._batch_size, self._num_steps, self._hinge = batch_size, num_steps, trial.loss == "hinge"
        self._num_replicates, self._device = stack.num_replicates, stack.num_steps.device
        self._layers, self._layer_gradients = stack.layers("parameters"), stack.layers("gradients")
        widths = [weight.shape[1] for weight, _ in self._layers]
        # Of every layer: its inputs, and the gradient with respect to its outputs.
        self._inputs = [self._buffer(width) for width in (training.images.shape[1], *widths[:-1])]
        self._gradients = [self._buffer(width) for width in widths]
        self._images, self._logit_gradients = self._inputs[0][1], self._gradients[-1][1]
        hidden = [outputs for _, outputs in self._inputs[1:]]
        # What comes before the logits and after their gradient.
        self._before = [call for depth, outputs in enumerate(hidden) for call in self._layer(depth, outputs)]
        self._after = [*self._backward()]

    @staticmethod
    @abstractmethod
    def most_steps(batch_size: int, num_classes: int) -> int | None:
        """Gives the most steps to repeat at once, None for any number.

        Not by the number of replicates, since sums are added up stretch by stretch: their last bits depend on it.
        """

    @abstractmethod
    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""

    @abstractmethod
    def _affine(self, bias: Tensor, inputs: Tensor, weight: Tensor, outputs: Tensor) -> Iterator[Call]:
        """Writes inputs x weight + bias to outputs, for each replicate."""

    @abstractmethod
    def _product(self, one: Tensor, other: Tensor, result: Tensor) -> Iterator[Call]:
        """Writes one x other to result, for each replicate."""

    def _sums(self, logits: Tensor, log_probabilities: Tensor, labels: Tensor) -> Tensor:
        """Gives what `repeat` does, of logits and their log-probabilities `[S, R, B, C]` and of labels `[S, R, B]`.

        For hinge the log-probabilities are not used. Replicate by replicate: the order in which a sum adds could
        depend on R.
        """
        scores, loss = (
            (logits, functional.multi_margin_loss) if self._hinge else (log_probabilities, functional.nll_loss)
        )
        sums = []
        for r in range(self._num_replicates):
            row_logits, row_scores, row_labels = (values[:, r].flatten(0, 1) for values in (logits, scores, labels))
            correct = row_logits.max(1).indices == row_labels
            sums.append(torch.stack([loss(row_scores, row_labels, reduction="none").double().sum(), correct.sum()]))
        return torch.stack(sums, 1)

    def _batches(self, order: Tensor) -> Tensor:
        """Gives the batches `[S, R, B]` of `order` `[R, S x B]`."""
        return order.view(len(order), -1, self._batch_size).transpose(0, 1)

    def _fetch(self, indices: Tensor) -> Iterator[Call]:
        """Fetches the images of a batch's indices `[R, B]`."""
        for part, images in gapless_parts(indices, self._images):
            yield partial(torch.index_select, self._training.images, 0, part.flatten(), out=images.flatten(0, -2))

    def _output(self, logits: Tensor, log_probabilities: Tensor, targets: Tensor) -> Iterator[Call]:
        """Writes the logits and the loss's gradient with respect to them.

        Args:
            logits: Space, `[R, B, C]`.
            log_probabilities: Space, `[R, B, C]`; not used for hinge.
            targets: For hinge the labels, `[R, B]`; for cross-entropy its gradient with respect to the logarithms of
                the probabilities, `[R, B, C]`: -1/B at the label.
        """
        yield from self._layer(len(self._layers) - 1, logits)
        if self._hinge:
            yield from self._hinge_gradient(logits, targets)
        else:
            yield from self._cross_entropy_gradient(logits, log_probabilities, targets)

    def _layer(self, depth: int, outputs: Tensor) -> Iterator[Call]:
        (flat, inputs), (weight, bias) = self._inputs[depth], self._layers[depth]
        for part in elementwise_parts(flat) if depth else ():
            yield partial(ACTIVATIONS[self._trial.activation], part)
        yield from self._affine(bias, inputs, weight.transpose(1, 2), outputs)

    def _cross_entropy_gradient(self, logits: Tensor, log_probabilities: Tensor, targets: Tensor) -> Iterator[Call]:
        parts = gapless_parts(logits, log_probabilities, targets, self._logit_gradients)
        for part, logs, part_targets, gradient in parts:
            yield partial(torch._log_softmax, part, -1, False, out=logs)
            yield partial(torch._log_softmax_backward_data, part_targets, logs, -1, torch.float32, out=gradient)

    def _hinge_gradient(self, logits: Tensor, targets: Tensor) -> Iterator[Call]:
        power, margin, weight, mean, one = 1, 1.0, None, 1, torch.ones((), device=self._device)
        for part, labels, gradient in zip(logits, targets, self._logit_gradients, strict=True):
            operands = (one, part, labels, power, margin, weight, mean)
            yield partial(_aten.multi_margin_loss_backward.grad_input, *operands, grad_input=gradient)

    def _backward(self) -> Iterator[Call]:
        name, further = _ACTIVATION_GRADIENTS[self._trial.activation]
        operator = getattr(_aten, name).grad_input
        for depth in reversed(range(len(self._layers))):
            (weight, _), (weight_gradient, bias_gradient) = self._layers[depth], self._layer_gradients[depth]
            (flat_inputs, inputs), (_, gradient) = self._inputs[depth], self._gradients[depth]
            yield from self._product(gradient.transpose(1, 2), inputs, weight_gradient)
            yield partial(torch.sum, gradient, 1, out=bias_gradient)
            if depth:
                flat_gradient, input_gradient = self._gradients[depth - 1]
                yield from self._product(gradient, weight, input_gradient)
                for part, outputs in zip(elementwise_parts(flat_gradient), elementwise_parts(flat_inputs), strict=True):
                    yield partial(operator, part, outputs, *further, grad_input=part)

    def _adam(self, number: Tensor) -> Call:
        """Takes the step of this number, from 1."""
        tensors = ([self._stack.flat[name].view(-1)] for name in ("parameters", "gradients", *MOMENTS))
        settings = {"lr": self._trial.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        return partial(torch._fused_adam_, *tensors, [], [number], amsgrad=False, maximize=False, **settings)

    def _buffer(self, width: int) -> tuple[Tensor, Tensor]:
        return batch_buffer(self._num_replicates, self._batch_size, width, self._device)
