"""A step written out: forward, gradients and Adam as a list of prepared calls into buffers made once.

Each call is an operator that autograd or `torch.optim.Adam` uses itself, so a step's numbers are theirs (but for what
`products.py` does otherwise).

Axis letters: R replicates, S steps, B samples of a batch, N samples, C classes, P parameters of one replicate.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from sweep.config import TrialConfig
from sweep.loops.contract import MOMENTS, TrainingSplit
from sweep.loops.stacked import ACTIVATIONS, LOSSES
from sweep.loops.stacked.buffers import Stack, gapless_parts, padded
from sweep.loops.stacked.losses import Call, Loss
from sweep.pieces import load

_aten = torch.ops.aten


class Step(ABC):
    """A step of a group with batches of B samples of the training split, to be repeated up to S times."""

    # Whether it is made for a CPU: then a replicate has products of its own, since its bits would change with R in one
    # wide product for all, and what is in use fits the cache.
    on_cpu: ClassVar[bool]

    def __init__(
        self, stack: Stack, trial: TrialConfig, training: TrainingSplit, batch_size: int, num_steps: int
    ) -> None:
        self._stack, self._trial, self._training = stack, trial, training
        self._batch_size, self._num_steps = batch_size, num_steps
        self._num_replicates, self._device = stack.num_replicates, stack.num_steps.device
        self._loss: Loss = load(LOSSES[trial.loss])
        self._layers, self._layer_gradients = stack.layers("parameters"), stack.layers("gradients")
        widths = [training.inputs.shape[1], *(bias.shape[1] for _, bias in self._layers)]
        # Of every layer: its inputs, and the gradient with respect to its outputs.
        self._inputs = [self._buffer(width) for width in widths[:-1]]
        self._gradients = [*(self._buffer(width) for width in widths[1:-1]), (torch.empty(0), self._logits_buffer())]
        hidden = [outputs for _, outputs in self._inputs[1:]]
        # What comes before the logits and after their gradient.
        self._before = [call for depth, outputs in enumerate(hidden) for call in self._layer(depth, outputs)]
        self._after = [*self._backward()]

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        batches = order.view(self._num_replicates, -1, self._batch_size).transpose(0, 1)
        losses, correct = self._take(batches, self._training.targets[batches])
        # One by one, from copies without gaps: the order in which a sum adds could depend on R.
        sums = [
            torch.stack([losses[:, r].flatten().double().sum(), correct[:, r].sum()])
            for r in range(self._num_replicates)
        ]
        return torch.stack(sums, 1)

    @abstractmethod
    def _take(self, batches: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Takes a step per batch, both `[S, R, B]`; gives each sample's loss, and whether its prediction is correct."""

    @classmethod
    @abstractmethod
    def _products(cls, *operands: Tensor, out: Tensor) -> Iterator[Call]:
        """Writes `left @ right` for each replicate, all `[R, ., .]`; of three operands the first is a bias to add."""

    def _scored(self, logits: Tensor, log_probabilities: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """What `_take` gives, from logits and log-probabilities `[S, R, B, C]`."""
        rows = [tensor.flatten(0, 2) for tensor in (logits, log_probabilities, classes)]
        return self._loss.of_samples(*rows).view_as(classes), logits.max(-1).indices == classes

    def _fetch(self, indices: Tensor) -> Iterator[Call]:
        """Fetches the inputs of a batch's indices `[R, B]`."""
        for part, inputs in gapless_parts(indices, self._inputs[0][1]):
            yield partial(torch.index_select, self._training.inputs, 0, part.flatten(), out=inputs.flatten(0, -2))

    def _all_gradients(self, logits: Tensor, of_loss: Iterable[Call]) -> Iterator[Call]:
        """Goes forward to the logits `[R, B, C]`, from the loss to their gradient, and back to the first layer."""
        yield from self._before
        yield from self._layer(len(self._layers) - 1, logits)
        yield from of_loss
        yield from self._after

    def _layer(self, depth: int, outputs: Tensor) -> Iterator[Call]:
        (flat, inputs), (weight, bias) = self._inputs[depth], self._layers[depth]
        for part in _elementwise_parts(flat) if depth else ():
            yield self.activation(self._trial.activation, part)
        yield from self._products(bias.unsqueeze(1), inputs, weight.transpose(1, 2), out=outputs)

    def _backward(self) -> Iterator[Call]:
        _, name, further = ACTIVATIONS[self._trial.activation]
        operator = getattr(_aten, name).grad_input
        for depth in reversed(range(len(self._layers))):
            (weight, _), (weight_gradient, bias_gradient) = self._layers[depth], self._layer_gradients[depth]
            (flat_inputs, inputs), (_, gradient) = self._inputs[depth], self._gradients[depth]
            yield from self._products(gradient.transpose(1, 2), inputs, out=weight_gradient)
            yield self._bias_gradient(gradient, bias_gradient)
            if depth:
                flat_gradient, input_gradient = self._gradients[depth - 1]
                yield from self._products(gradient, weight, out=input_gradient)
                for part, outputs in zip(*map(_elementwise_parts, (flat_gradient, flat_inputs)), strict=True):
                    yield partial(operator, part, outputs, *further, grad_input=part)

    def _bias_gradient(self, gradient: Tensor, out: Tensor) -> Call:
        return partial(torch.sum, gradient, 1, out=out)

    def _adam(self, number: Tensor) -> Call:
        """Takes the step of this number, from 1."""
        tensors = ([self._stack.flat[name].view(-1)] for name in ("parameters", "gradients", *MOMENTS))
        settings = {"lr": self._trial.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        return partial(torch._fused_adam_, *tensors, [], [number], amsgrad=False, maximize=False, **settings)

    def _buffer(self, width: int) -> tuple[Tensor, Tensor]:
        """Makes a buffer, flat `[R, B x width with padding]`, and the view `[R, B, width]` of it."""
        return padded(self._num_replicates, self._batch_size, width, device=self._device)

    def _logits_buffer(self, *steps: int) -> Tensor:
        """Makes a buffer for logits or their gradient, with padding: `[*steps, R, B, C]`."""
        shape = (*steps, self._num_replicates, self._batch_size, self._training.num_classes)
        return padded(*shape, device=self._device)[1]

    @classmethod
    def activation(cls, name: str, values: Tensor) -> Call:
        """Prepares an activation of values, in their place."""
        return partial(getattr(torch, ACTIVATIONS[name][0]), values)

    @classmethod
    def linear(cls, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Gives the outputs `[N, outputs]` of a layer of one replicate."""
        return torch.addmm(bias, inputs, weight.t())


class HostStep(Step):
    """A step on the CPU, with a place of its own for what belongs to each of the steps of a stretch.

    So nothing is made or copied between steps; their logits are scored together at the end.
    """

    on_cpu = True

    def __init__(self, stack: Stack, *arguments: Any) -> None:
        super().__init__(stack, *arguments)
        self._order = torch.zeros(self._num_steps, self._num_replicates, self._batch_size, dtype=torch.int64)
        self._logits, self._numbers = self._logits_buffer(self._num_steps), torch.zeros(self._num_steps)
        own = zip(self._order, self._logits, self._losses(), self._numbers, strict=True)
        self._calls = [
            [*self._fetch(order), *self._all_gradients(logits, of_loss), self._adam(number)]
            for order, logits, of_loss, number in own
        ]

    def _losses(self) -> Iterator[Iterable[Call]]:
        """Prepares the loss of each step: from its logits to their gradient."""
        self._target_rows = self._loss.target_rows(self._training.num_classes, self._batch_size, self._device)
        self._logs, self._targets = self._logits_buffer(self._num_steps), self._target_rows[self._order]
        for own in zip(self._logits, self._logs, self._targets, strict=True):
            yield self._loss.gradient(*own, self._gradients[-1][1])

    def _take(self, batches: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        num_steps = len(batches)
        self._targets[:num_steps] = self._target_rows[classes]
        self._make_steps(batches)
        return self._scored(self._logits[:num_steps], self._logs[:num_steps], classes)

    def _make_steps(self, batches: Tensor) -> None:
        num_steps = len(batches)
        self._order[:num_steps] = batches
        self._numbers[:num_steps] = self._stack.num_steps + torch.arange(1, num_steps + 1)
        self._stack.num_steps += num_steps
        for calls in self._calls[:num_steps]:
            make_all(calls)

    @classmethod
    def _products(cls, *operands: Tensor, out: Tensor) -> Iterator[Call]:
        product = torch.addmm if len(operands) == 3 else torch.mm
        for *parts, part_out in zip(*operands, out, strict=True):
            yield partial(product, *parts, out=part_out)


def make_all(calls: Sequence[Call]) -> None:
    """Makes the calls, one by one."""
    for call in calls:
        call()


def _elementwise_parts(flat: Tensor) -> Sequence[Tensor]:
    """The parts of a flat buffer for a kernel that works element by element: on one thread, and on CUDA, all at once.

    Several threads would share that out at places that depend on R.
    """
    return [flat.view(-1)] if flat.is_cuda or torch.get_num_threads() == 1 else flat.unbind(0)
