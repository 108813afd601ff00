"""A step written out: forward, gradients and Adam as a list of prepared calls into buffers made once.

Each call is an operator that autograd or `torch.optim.Adam` uses itself, so a step's numbers are theirs.

Axis letters: R replicates, S steps, B samples of a batch, N samples, C classes, P parameters of one replicate.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from sweep.config import TrialConfig
from sweep.loops.contract import TrainingSplit
from sweep.loops.stacked import ACTIVATIONS, LOSSES
from sweep.pieces import load

MOMENTS = ("exp_avg", "exp_avg_sq")
Call = Callable[[], object]
Layers = list[tuple[Tensor, Tensor]]

# Floats in 128 bytes. Every tensor of every replicate starts at a multiple of 128 bytes and is padded to one: kernels
# take two vectors at a time, of 64 bytes each with AVX-512, and treat the odd floats at an end differently, so a
# replicate's bits could depend on its place in the stack.
_LINE = 32
# Of a replicate, for the steps of a stretch on the CPU.
_LOGIT_BYTES = 2**20
_aten = torch.ops.aten


class Stack:
    """Parameters, gradients and Adam's moments of a group, each in one flat buffer `[R, P with padding]`."""

    def __init__(self, shapes: Sequence[tuple[int, int]], num_replicates: int, device: torch.device) -> None:
        self.num_replicates = num_replicates
        self._shapes = [shape for outputs, inputs in shapes for shape in ((outputs, inputs), (outputs,))]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._padded = [_whole_lines(size) for size in self._sizes]
        names = ("parameters", "gradients", *MOMENTS)
        self.flat = {name: torch.zeros(num_replicates, sum(self._padded), device=device) for name in names}
        self.num_steps = torch.tensor(0.0, device=device)

    def layers(self, name: str) -> Layers:
        """Gives views of each layer's weights `[R, outputs, inputs]` and biases `[R, outputs]`."""
        views = [part.view(-1, *shape) for part, shape in zip(self._parts(name), self._shapes, strict=True)]
        return list(zip(views[::2], views[1::2], strict=True))

    def read(self, name: str) -> Tensor:
        """Gives a copy `[R, P]` without the padding."""
        return torch.cat(self._parts(name), dim=1)

    def write(self, name: str, values: Tensor) -> None:
        """Takes over `[R, P]` without the padding."""
        for part, value in zip(self._parts(name), torch.split(values, self._sizes, dim=1), strict=True):
            part.copy_(value)

    def _parts(self, name: str) -> list[Tensor]:
        padded = torch.split(self.flat[name], self._padded, dim=1)
        return [part[:, :size] for part, size in zip(padded, self._sizes, strict=True)]


class Loss(Protocol):
    """What a step needs of a loss, with gradients of its mean over a batch."""

    def target_rows(self, num_classes: int, batch_size: int, device: torch.device) -> Tensor:
        """Gives what `gradient` wants to know of a sample, for each class that its target may be: `[C, ...]`."""

    def gradient(self, logits: Tensor, log_probabilities: Tensor, targets: Tensor, gradient: Tensor) -> Iterator[Call]:
        """Writes the gradient with respect to the logits; all `[R, B, C]` but targets, which are rows `[R, B, ...]`.

        The log-probabilities are written too where they are used; `of_samples` is handed them.
        """

    def of_samples(self, logits: Tensor, log_probabilities: Tensor, labels: Tensor) -> Tensor:
        """Gives the loss of each sample `[N]`, of `[N, C]` and the numbers of its class `[N]`."""


class CrossEntropy:
    """Softmax cross-entropy; a target is its gradient with respect to the log-probabilities: -1/B at the class."""

    def target_rows(self, num_classes: int, batch_size: int, device: torch.device) -> Tensor:
        """Gives `[C, C]`."""
        return torch.zeros(num_classes, num_classes, device=device).fill_diagonal_(-1 / batch_size)

    def gradient(self, logits: Tensor, log_probabilities: Tensor, targets: Tensor, gradient: Tensor) -> Iterator[Call]:
        """Writes the log-probabilities and the gradient."""
        for part, logs, part_targets, into in gapless_parts(logits, log_probabilities, targets, gradient):
            yield partial(torch._log_softmax, part, -1, False, out=logs)
            yield partial(torch._log_softmax_backward_data, part_targets, logs, -1, torch.float32, out=into)

    def of_samples(self, logits: Tensor, log_probabilities: Tensor, labels: Tensor) -> Tensor:
        """Gives minus the log-probability of the class."""
        return functional.nll_loss(log_probabilities, labels, reduction="none")


class Hinge:
    """Multi-class hinge with margin 1; a target is the number of its class."""

    def target_rows(self, num_classes: int, batch_size: int, device: torch.device) -> Tensor:
        """Gives `[C]`."""
        return torch.arange(num_classes, device=device)

    def gradient(self, logits: Tensor, log_probabilities: Tensor, targets: Tensor, gradient: Tensor) -> Iterator[Call]:
        """Writes the gradient alone."""
        power, margin, weight, mean, one = 1, 1.0, None, 1, torch.ones((), device=logits.device)
        for part, labels, into in zip(logits, targets, gradient, strict=True):
            operands = (one, part, labels, power, margin, weight, mean)
            yield partial(_aten.multi_margin_loss_backward.grad_input, *operands, grad_input=into)

    def of_samples(self, logits: Tensor, log_probabilities: Tensor, labels: Tensor) -> Tensor:
        """Gives the violated margins, divided by C."""
        return functional.multi_margin_loss(logits, labels, reduction="none")


class Step(ABC):
    """A step of a group with batches of B samples, to be repeated. How products are made is left to the kind of step.

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
        self, stack: Stack, trial: TrialConfig, training: TrainingSplit, batch_size: int, num_steps: int
    ) -> None:
        self._stack, self._trial, self._training = stack, trial, training
        self._batch_size, self._num_steps = batch_size, num_steps
        self._num_replicates, self._device = stack.num_replicates, stack.num_steps.device
        self._loss: Loss = load(LOSSES[trial.loss])()
        self._target_rows = self._loss.target_rows(training.num_classes, batch_size, self._device)
        self._activate, self._activation_gradient, self._further = ACTIVATIONS[trial.activation]
        self._layers, self._layer_gradients = stack.layers("parameters"), stack.layers("gradients")
        widths = [weight.shape[1] for weight, _ in self._layers]
        # Of every layer: its inputs, and the gradient with respect to its outputs.
        self._inputs = [self._buffer(width) for width in (training.inputs.shape[1], *widths[:-1])]
        self._gradients = [self._buffer(width) for width in widths]
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

        Replicate by replicate: the order in which a sum adds could depend on R.
        """
        sums = []
        for r in range(self._num_replicates):
            rows = [values[:, r].flatten(0, 1) for values in (logits, log_probabilities, labels)]
            correct = rows[0].max(1).indices == rows[-1]
            sums.append(torch.stack([self._loss.of_samples(*rows).double().sum(), correct.sum()]))
        return torch.stack(sums, 1)

    def _batches(self, order: Tensor) -> Tensor:
        """Gives the batches `[S, R, B]` of `order` `[R, S x B]`."""
        return order.view(len(order), -1, self._batch_size).transpose(0, 1)

    def _fetch(self, indices: Tensor) -> Iterator[Call]:
        """Fetches the inputs of a batch's indices `[R, B]`."""
        for part, inputs in gapless_parts(indices, self._inputs[0][1]):
            yield partial(torch.index_select, self._training.inputs, 0, part.flatten(), out=inputs.flatten(0, -2))

    def _targets(self, *shape: int) -> Tensor:
        """Makes space for targets of samples in this shape."""
        rows = self._target_rows
        return torch.zeros(*shape, *rows.shape[1:], dtype=rows.dtype, device=self._device)

    def _take(self, logits: Tensor, log_probabilities: Tensor, targets: Tensor) -> Iterator[Call]:
        """Goes forward to the logits and back to all gradients; the first two are space, `[R, B, C]`."""
        yield from self._before
        yield from self._layer(len(self._layers) - 1, logits)
        yield from self._loss.gradient(logits, log_probabilities, targets, self._gradients[-1][1])
        yield from self._after

    def _layer(self, depth: int, outputs: Tensor) -> Iterator[Call]:
        (flat, inputs), (weight, bias) = self._inputs[depth], self._layers[depth]
        for part in elementwise_parts(flat) if depth else ():
            yield partial(getattr(torch, self._activate), part)
        yield from self._affine(bias, inputs, weight.transpose(1, 2), outputs)

    def _backward(self) -> Iterator[Call]:
        operator = getattr(_aten, self._activation_gradient).grad_input
        for depth in reversed(range(len(self._layers))):
            (weight, _), (weight_gradient, bias_gradient) = self._layers[depth], self._layer_gradients[depth]
            (flat_inputs, inputs), (_, gradient) = self._inputs[depth], self._gradients[depth]
            yield from self._product(gradient.transpose(1, 2), inputs, weight_gradient)
            yield partial(torch.sum, gradient, 1, out=bias_gradient)
            if depth:
                flat_gradient, input_gradient = self._gradients[depth - 1]
                yield from self._product(gradient, weight, input_gradient)
                for part, outputs in zip(elementwise_parts(flat_gradient), elementwise_parts(flat_inputs), strict=True):
                    yield partial(operator, part, outputs, *self._further, grad_input=part)

    def _adam(self, number: Tensor) -> Call:
        """Takes the step of this number, from 1."""
        tensors = ([self._stack.flat[name].view(-1)] for name in ("parameters", "gradients", *MOMENTS))
        settings = {"lr": self._trial.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        return partial(torch._fused_adam_, *tensors, [], [number], amsgrad=False, maximize=False, **settings)

    def _buffer(self, width: int) -> tuple[Tensor, Tensor]:
        return _padded_buffer(self._num_replicates, self._batch_size, width, self._device)


class HostStep(Step):
    """A step on the CPU, with a place of its own for what belongs to each of the steps of a stretch.

    So nothing is made or copied between steps; their logits are scored together at the end. The products stay one per
    replicate, since one wide product for all would change a replicate's bits with R.
    """

    in_groups = True

    def __init__(self, stack: Stack, *arguments: Any) -> None:
        super().__init__(stack, *arguments)
        steps = (self._num_steps, self._num_replicates)
        self._order = torch.zeros(*steps, self._batch_size, dtype=torch.int64)
        sizes = (math.prod(steps), self._batch_size, self._training.num_classes, self._device)
        self._logits, self._log_probabilities = (torch.unflatten(_padded_buffer(*sizes)[1], 0, steps) for _ in range(2))
        self._step_targets = self._targets(*self._order.shape)
        self._numbers = torch.zeros(self._num_steps)
        own = zip(self._order, self._logits, self._log_probabilities, self._step_targets, self._numbers, strict=True)
        self._calls = [
            [*self._fetch(order), *self._take(logits, logs, targets), self._adam(number)]
            for order, logits, logs, targets, number in own
        ]

    @staticmethod
    def most_steps(batch_size: int, num_classes: int) -> int:
        """Gives few enough for their logits to stay in the cache."""
        return max(1, min(64, _LOGIT_BYTES // (4 * batch_size * num_classes)))

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        batches = self._batches(order)
        num_steps, labels = len(batches), self._training.targets[batches]
        self._order[:num_steps] = batches
        self._step_targets[:num_steps] = self._target_rows[labels]
        self._numbers[:num_steps] = self._stack.num_steps + torch.arange(1, num_steps + 1)
        self._stack.num_steps += num_steps
        for calls in self._calls[:num_steps]:
            make_all(calls)
        return self._sums(self._logits[:num_steps], self._log_probabilities[:num_steps], labels)

    def _affine(self, bias: Tensor, inputs: Tensor, weight: Tensor, outputs: Tensor) -> Iterator[Call]:
        for r in range(self._num_replicates):
            yield partial(torch.addmm, bias[r], inputs[r], weight[r], out=outputs[r])

    def _product(self, one: Tensor, other: Tensor, result: Tensor) -> Iterator[Call]:
        for r in range(self._num_replicates):
            yield partial(torch.mm, one[r], other[r], out=result[r])


def make_all(calls: Sequence[Call]) -> None:
    """Makes the calls, one by one."""
    for call in calls:
        call()


def elementwise_parts(flat: Tensor) -> Sequence[Tensor]:
    """Gives the parts of a flat buffer to hand to a kernel that works element by element.

    On one thread, and on a CUDA device, all at once. Several threads would share that out at places that depend on R.
    """
    return [flat.view(-1)] if flat.is_cuda or torch.get_num_threads() == 1 else flat.unbind(0)


def gapless_parts(*tensors: Tensor) -> Sequence[tuple[Tensor, ...]]:
    """Gives the parts of tensors `[R, ...]` to hand to a kernel that writes only to tensors without gaps.

    All at once if they have none; with padding every replicate's part is one.
    """
    return [tensors] if all(tensor.is_contiguous() for tensor in tensors) else list(zip(*tensors, strict=True))


def _padded_buffer(num_replicates: int, batch_size: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Makes a buffer: flat, `[R, B x width with padding]`, and the view `[R, B, width]` of it."""
    size = batch_size * width
    flat = torch.zeros(num_replicates, _whole_lines(size), device=device)
    return flat, flat[:, :size].view(-1, batch_size, width)


def _whole_lines(num_floats: int) -> int:
    return -(-num_floats // _LINE) * _LINE
