"""A step written out: forward, gradients and Adam as a list of prepared calls into buffers made once.

Each call is an operator that autograd or `torch.optim.Adam` uses itself, so a step's numbers are theirs.

Axis letters: R replicates, S steps, B samples of a batch, N samples, C classes, P parameters of one replicate.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sweep.config import TrialConfig
from sweep.loops.contract import MOMENTS, TrainingSplit
from sweep.loops.stacked import ACTIVATIONS, LOSSES
from sweep.pieces import load

Call = Callable[[], object]
# Floats in 128 bytes. Every tensor of every replicate starts at a multiple of 128 bytes and is padded to one: kernels
# take two vectors at a time, of 64 bytes each with AVX-512, and treat the odd floats at an end differently, so a
# replicate's bits could depend on its place in the stack.
_LINE = 32
_aten = torch.ops.aten


class Stack:
    """Parameters, gradients and Adam's moments of a group, each in one flat buffer `[R, P with padding]`."""

    def __init__(self, shapes: Sequence[tuple[int, int]], num_replicates: int, device: torch.device) -> None:
        self.num_replicates = num_replicates
        self._shapes = [shape for outputs, inputs in shapes for shape in ((outputs, inputs), (outputs,))]
        sizes = [math.prod(shape) for shape in self._shapes]
        *starts, end = itertools.accumulate(map(_whole_lines, sizes), initial=0)
        self._slices = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        # Where the parameters are among the padding, `[P]`.
        self.places = torch.cat([torch.arange(part.start, part.stop, device=device) for part in self._slices])
        names = ("parameters", "gradients", *MOMENTS)
        self.flat = {name: torch.zeros(num_replicates, end, device=device) for name in names}
        self.num_steps = torch.tensor(0.0, device=device)

    def layers(self, name: str) -> list[tuple[Tensor, Tensor]]:
        """Gives views of each layer's weights `[R, outputs, inputs]` and biases `[R, outputs]`."""
        parts = zip(self._slices, self._shapes, strict=True)
        views = [self.flat[name][:, part].view(-1, *shape) for part, shape in parts]
        return list(zip(views[::2], views[1::2], strict=True))


@dataclass(frozen=True)
class Loss:
    """What a step needs of a loss, which is averaged over a batch.

    Attributes:
        target_rows: Of C, B and a device: what `gradient` is told of a sample, by the class of its target `[C, ...]`.
        gradient: Of logits and log-probabilities `[R, B, C]` and targets `[R, B, ...]`: the calls that write the
            gradient with respect to the logits to its last argument, and the log-probabilities where they are used.
        of_samples: Of logits and log-probabilities `[N, C]` and classes `[N]`: the loss of each sample.
    """

    target_rows: Callable[[int, int, torch.device], Tensor]
    gradient: Callable[[Tensor, Tensor, Tensor, Tensor], Iterator[Call]]
    of_samples: Callable[[Tensor, Tensor, Tensor], Tensor]


def _cross_entropy_gradient(logits: Tensor, log_probabilities: Tensor, targets: Tensor, out: Tensor) -> Iterator[Call]:
    for part, logs, part_targets, gradient in _gapless_parts(logits, log_probabilities, targets, out):
        yield partial(torch._log_softmax, part, -1, False, out=logs)
        yield partial(torch._log_softmax_backward_data, part_targets, logs, -1, torch.float32, out=gradient)


def _hinge_gradient(logits: Tensor, log_probabilities: Tensor, targets: Tensor, out: Tensor) -> Iterator[Call]:
    power, margin, weight, mean, one = 1, 1.0, None, 1, torch.ones((), device=logits.device)
    for part, classes, gradient in zip(logits, targets, out, strict=True):
        operands = (one, part, classes, power, margin, weight, mean)
        yield partial(_aten.multi_margin_loss_backward.grad_input, *operands, grad_input=gradient)


# A target is the gradient with respect to its log-probabilities: -1/B at its class.
CROSS_ENTROPY = Loss(
    lambda num_classes, size, device: torch.zeros(2 * (num_classes,), device=device).fill_diagonal_(-1 / size),
    _cross_entropy_gradient,
    lambda logits, logs, classes: functional.nll_loss(logs, classes, reduction="none"),
)
# A target is its class.
HINGE = Loss(
    lambda num_classes, size, device: torch.arange(num_classes, device=device),
    _hinge_gradient,
    lambda logits, logs, classes: functional.multi_margin_loss(logits, classes, reduction="none"),
)


class Step(ABC):
    """A step of a group with batches of B samples of the training split, to be repeated up to S times."""

    # Whether it is made for a CPU: the products stay one per replicate, since one wide product for all would change a
    # replicate's bits with R, and what is in use fits the cache.
    on_cpu: ClassVar[bool]

    def __init__(
        self, stack: Stack, trial: TrialConfig, training: TrainingSplit, batch_size: int, num_steps: int
    ) -> None:
        self._stack, self._trial, self._training = stack, trial, training
        self._batch_size, self._num_steps = batch_size, num_steps
        self._num_replicates, self._device = stack.num_replicates, stack.num_steps.device
        self._loss: Loss = load(LOSSES[trial.loss])
        self._target_rows = self._loss.target_rows(training.num_classes, batch_size, self._device)
        self._layers, self._layer_gradients = stack.layers("parameters"), stack.layers("gradients")
        widths = [training.inputs.shape[1], *(bias.shape[1] for _, bias in self._layers)]
        # Of every layer: its inputs, and the gradient with respect to its outputs.
        self._inputs = [self._buffer(width) for width in widths[:-1]]
        self._gradients = [self._buffer(width) for width in widths[1:]]
        hidden = [outputs for _, outputs in self._inputs[1:]]
        # What comes before the logits and after their gradient.
        self._before = [call for depth, outputs in enumerate(hidden) for call in self._layer(depth, outputs)]
        self._after = [*self._backward()]

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        batches = order.view(self._num_replicates, -1, self._batch_size).transpose(0, 1)
        classes = self._training.targets[batches]
        results = (*self._take(batches, classes), classes)
        sums = []
        for r in range(self._num_replicates):  # one by one: the order in which a sum adds could depend on R
            rows = [values[:, r].flatten(0, 1) for values in results]
            correct = rows[0].max(1).indices == rows[-1]
            sums.append(torch.stack([self._loss.of_samples(*rows).double().sum(), correct.sum()]))
        return torch.stack(sums, 1)

    @abstractmethod
    def _take(self, batches: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Takes a step per batch, both `[S, R, B]`; gives logits and their log-probabilities, `[S, R, B, C]`."""

    def _fetch(self, indices: Tensor) -> Iterator[Call]:
        """Fetches the inputs of a batch's indices `[R, B]`."""
        for part, inputs in _gapless_parts(indices, self._inputs[0][1]):
            yield partial(torch.index_select, self._training.inputs, 0, part.flatten(), out=inputs.flatten(0, -2))

    def _all_gradients(self, logits: Tensor, log_probabilities: Tensor, targets: Tensor) -> Iterator[Call]:
        """Goes forward to the logits and back to the first layer; the first two are space, `[R, B, C]`."""
        yield from self._before
        yield from self._layer(len(self._layers) - 1, logits)
        yield from self._loss.gradient(logits, log_probabilities, targets, self._gradients[-1][1])
        yield from self._after

    def _layer(self, depth: int, outputs: Tensor) -> Iterator[Call]:
        (flat, inputs), (weight, bias) = self._inputs[depth], self._layers[depth]
        activate = getattr(torch, ACTIVATIONS[self._trial.activation][0])
        for part in _elementwise_parts(flat) if depth else ():
            yield partial(activate, part)
        yield from self._products(bias.unsqueeze(1), inputs, weight.transpose(1, 2), out=outputs)

    def _backward(self) -> Iterator[Call]:
        _, name, further = ACTIVATIONS[self._trial.activation]
        operator = getattr(_aten, name).grad_input
        for depth in reversed(range(len(self._layers))):
            (weight, _), (weight_gradient, bias_gradient) = self._layers[depth], self._layer_gradients[depth]
            (flat_inputs, inputs), (_, gradient) = self._inputs[depth], self._gradients[depth]
            yield from self._products(gradient.transpose(1, 2), inputs, out=weight_gradient)
            yield partial(torch.sum, gradient, 1, out=bias_gradient)
            if depth:
                flat_gradient, input_gradient = self._gradients[depth - 1]
                yield from self._products(gradient, weight, out=input_gradient)
                for part, outputs in zip(*map(_elementwise_parts, (flat_gradient, flat_inputs)), strict=True):
                    yield partial(operator, part, outputs, *further, grad_input=part)

    def _products(self, *operands: Tensor, out: Tensor) -> Iterator[Call]:
        """Writes the product of the last two operands, of three plus the first, for each replicate."""
        of_one, of_all = (torch.addmm, torch.baddbmm) if len(operands) == 3 else (torch.mm, torch.bmm)
        if not self.on_cpu:
            yield partial(of_all, *operands, out=out)
            return
        for *parts, part_out in zip(*operands, out, strict=True):
            yield partial(of_one, *parts, out=part_out)

    def _adam(self, number: Tensor) -> Call:
        """Takes the step of this number, from 1."""
        tensors = ([self._stack.flat[name].view(-1)] for name in ("parameters", "gradients", *MOMENTS))
        settings = {"lr": self._trial.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        return partial(torch._fused_adam_, *tensors, [], [number], amsgrad=False, maximize=False, **settings)

    def _buffer(self, width: int, *steps: int) -> tuple[Tensor, Tensor]:
        """Makes a buffer, flat `[*steps, R, B x width with padding]`, and the view `[*steps, R, B, width]` of it."""
        size = self._batch_size * width
        flat = torch.zeros(*steps, self._num_replicates, _whole_lines(size), device=self._device)
        return flat, torch.unflatten(flat[..., :size], -1, (self._batch_size, width))


class HostStep(Step):
    """A step on the CPU, with a place of its own for what belongs to each of the steps of a stretch.

    So nothing is made or copied between steps; their logits are scored together at the end.
    """

    on_cpu = True

    def __init__(self, stack: Stack, *arguments: Any) -> None:
        super().__init__(stack, *arguments)
        self._order = torch.zeros(self._num_steps, self._num_replicates, self._batch_size, dtype=torch.int64)
        self._logits, self._logs = (self._buffer(self._training.num_classes, self._num_steps)[1] for _ in range(2))
        self._targets, self._numbers = self._target_rows[self._order], torch.zeros(self._num_steps)
        own = zip(self._order, self._logits, self._logs, self._targets, self._numbers, strict=True)
        self._calls = [
            [*self._fetch(order), *self._all_gradients(logits, logs, targets), self._adam(number)]
            for order, logits, logs, targets, number in own
        ]

    def _take(self, batches: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        num_steps = len(batches)
        self._order[:num_steps] = batches
        self._targets[:num_steps] = self._target_rows[classes]
        self._numbers[:num_steps] = self._stack.num_steps + torch.arange(1, num_steps + 1)
        self._stack.num_steps += num_steps
        for calls in self._calls[:num_steps]:
            make_all(calls)
        return self._logits[:num_steps], self._logs[:num_steps]


def make_all(calls: Sequence[Call]) -> None:
    """Makes the calls, one by one."""
    for call in calls:
        call()


def _elementwise_parts(flat: Tensor) -> Sequence[Tensor]:
    """The parts of a flat buffer for a kernel that works element by element: on one thread, and on CUDA, all at once.

    Several threads would share that out at places that depend on R.
    """
    return [flat.view(-1)] if flat.is_cuda or torch.get_num_threads() == 1 else flat.unbind(0)


def _gapless_parts(*tensors: Tensor) -> Sequence[tuple[Tensor, ...]]:
    """The parts of tensors `[R, ...]` for a kernel that writes to tensors without gaps only; padding makes gaps."""
    return [tensors] if all(tensor.is_contiguous() for tensor in tensors) else list(zip(*tensors, strict=True))


def _whole_lines(num_floats: int) -> int:
    return -(-num_floats // _LINE) * _LINE
