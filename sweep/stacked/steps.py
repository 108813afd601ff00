"""How a step is repeated: batch by batch from the CPU, or by itself on a CUDA device."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sweep.config import TrialConfig
from sweep.engine import TrainingImages
from sweep.stacked.buffers import MOMENTS, Stack, batch_buffer
from sweep.stacked.calls import Call, Step
from sweep.stacked.device import as_one_call, make_all

# Of a replicate, for the steps of a stretch.
_LOGIT_BYTES = 2**20


class HostStep(Step):
    """A step on the CPU, with a place of its own for what belongs to each of the steps of a stretch.

    So nothing is made or copied between steps; their logits are scored together at the end. The products stay one per
    replicate, since one wide product for all would change a replicate's bits with R.
    """

    in_groups = True

    def __init__(self, stack: Stack, *arguments: Any) -> None:
        super().__init__(stack, *arguments)
        steps, num_classes = (self._num_steps, self._num_replicates), self._training.num_classes
        self._order = torch.zeros(*steps, self._batch_size, dtype=torch.int64)
        self._logits, self._log_probabilities = (
            torch.unflatten(batch_buffer(math.prod(steps), self._batch_size, num_classes, self._device)[1], 0, steps)
            for _ in range(2)
        )
        self._targets = torch.zeros_like(self._order) if self._hinge else torch.zeros(*self._order.shape, num_classes)
        self._numbers = torch.zeros(self._num_steps)
        outputs = zip(self._logits, self._log_probabilities, self._targets, strict=True)
        self._calls = [
            [*self._fetch(order), *self._before, *self._output(*output), *self._after, self._adam(number)]
            for order, output, number in zip(self._order, outputs, self._numbers, strict=True)
        ]

    @staticmethod
    def most_steps(batch_size: int, num_classes: int) -> int:
        """Gives few enough for their logits to stay in the cache."""
        return max(1, min(64, _LOGIT_BYTES // (4 * batch_size * num_classes)))

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        batches = self._batches(order)
        num_steps, labels = len(batches), self._training.labels[batches]
        self._order[:num_steps] = batches
        self._write_targets(labels)
        self._numbers[:num_steps] = self._stack.num_steps + torch.arange(1, num_steps + 1)
        self._stack.num_steps += num_steps
        for calls in self._calls[:num_steps]:
            make_all(calls)
        return self._sums(self._logits[:num_steps], self._log_probabilities[:num_steps], labels)

    def _write_targets(self, labels: Tensor) -> None:
        """Writes the targets of labels `[S, R, B]`."""
        targets = self._targets[: len(labels)]
        if self._hinge:
            targets.copy_(labels)
        else:
            targets.zero_().scatter_(-1, labels.unsqueeze(-1), -1 / self._batch_size)

    def _affine(self, bias: Tensor, inputs: Tensor, weight: Tensor, outputs: Tensor) -> Iterator[Call]:
        for r in range(self._num_replicates):
            yield partial(torch.addmm, bias[r], inputs[r], weight[r], out=outputs[r])

    def _product(self, one: Tensor, other: Tensor, result: Tensor) -> Iterator[Call]:
        for r in range(self._num_replicates):
            yield partial(torch.mm, one[r], other[r], out=result[r])


class DeviceStep(Step):
    """A step that finds its batch by a counter on the device, and keeps its logits there.

    On a CUDA device it is one graph, replayed; elsewhere the same calls are made one by one.
    """

    in_groups = False

    def __init__(self, stack: Stack, trial: TrialConfig, training: TrainingImages, *sizes: int) -> None:
        super().__init__(stack, trial, training, *sizes)
        batches = (self._num_steps, self._num_replicates, self._batch_size)
        self._order = torch.zeros(batches, dtype=torch.int64, device=self._device)
        self._counter = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._kept = torch.zeros(*batches, training.num_classes, device=self._device)
        logits = self._buffer(training.num_classes)[1]
        log_probabilities = torch.zeros(logits.shape, device=self._device)
        shape, kind = ((), torch.int64) if self._hinge else ((training.num_classes,), torch.float32)
        targets = torch.zeros(*batches[1:], *shape, dtype=kind, device=self._device)
        keep = partial(self._kept.index_copy_, 0, self._counter, logits.unsqueeze(0))
        advance = partial(self._counter.add_, torch.ones_like(self._counter))
        count = partial(stack.num_steps.add_, torch.ones((), device=self._device))
        calls: list[Call] = [*self._next_batch(targets), *self._before]
        calls += [*self._output(logits, log_probabilities, targets), *self._after]
        calls += [count, self._adam(stack.num_steps), keep, advance]
        changed = [*(stack.flat[name] for name in ("parameters", *MOMENTS)), stack.num_steps, self._counter]
        self._take = as_one_call(calls, changed, self._device)

    @staticmethod
    def most_steps(batch_size: int, num_classes: int) -> None:
        """Any number: a stretch is an epoch."""

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        self._order.copy_(self._batches(order))
        self._counter.zero_()
        for _ in range(self._num_steps):
            self._take()
        log_probabilities = self._kept if self._hinge else torch.log_softmax(self._kept, -1)
        return self._sums(self._kept, log_probabilities, self._training.labels[self._order])

    def _next_batch(self, targets: Tensor) -> Iterator[Call]:
        """Fetches the images and targets of the batch that the counter stands at."""
        indices = torch.zeros_like(self._order[:1])
        yield partial(torch.index_select, self._order, 0, self._counter, out=indices)
        yield from self._fetch(indices[0])
        labels = targets.flatten() if self._hinge else torch.zeros_like(indices).flatten()
        yield partial(torch.index_select, self._training.labels, 0, indices.flatten(), out=labels)
        if not self._hinge:
            rows = torch.zeros(2 * (self._training.num_classes,), device=self._device)
            rows.fill_diagonal_(-1 / self._batch_size)
            yield partial(torch.index_select, rows, 0, labels, out=targets.flatten(0, 1))

    def _affine(self, bias: Tensor, inputs: Tensor, weight: Tensor, outputs: Tensor) -> Iterator[Call]:
        yield partial(torch.baddbmm, bias.unsqueeze(1), inputs, weight, out=outputs)

    def _product(self, one: Tensor, other: Tensor, result: Tensor) -> Iterator[Call]:
        yield partial(torch.bmm, one, other, out=result)
