"""How a step is repeated: batch by batch from the CPU, or by itself on a CUDA device."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sweep.config import TrialConfig
from sweep.engine import TrainingImages
from sweep.stacked.buffers import MOMENTS, Stack, gapless_parts
from sweep.stacked.calls import Call, Step
from sweep.stacked.device import as_one_call


class HostStep(Step):
    """A step on the CPU, handed its batch each time.

    Its products stay one per replicate, since one wide product for all would change a replicate's bits with R.
    """

    in_groups = True
    # Their logits are kept until they are scored together: few enough to stay in the cache.
    most_steps = 64

    def __init__(self, stack: Stack, *arguments: Any) -> None:
        super().__init__(stack, *arguments)
        images = self._training.images
        self._gather = [partial(torch.index_select, images, 0, out=inputs) for inputs in self._inputs]
        self._kept = torch.empty(self._num_replicates, self._num_steps, *self._logits.shape[1:])

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        labels = self._training.labels[order]
        targets = torch.split(self._target_rows(labels), self._batch_size, dim=1)
        batches = zip(*(torch.split(row, self._batch_size) for row in order), strict=True)
        kept = self._kept[:, : len(targets)]
        for batch, target, logits in zip(batches, targets, kept.unbind(1), strict=True):
            for gather, indices in zip(self._gather, batch, strict=True):
                gather(indices)
            self._targets.copy_(target)
            for call in self._calls:
                call()
            logits.copy_(self._logits)
        return self._sums(kept.flatten(1, 2), labels)

    def _target_rows(self, labels: Tensor) -> Tensor:
        """Gives the targets of labels `[R, N]`."""
        if self._trial.loss == "hinge":
            return labels
        gradient = torch.zeros(*labels.shape, self._training.num_classes)
        return gradient.scatter_(2, labels.unsqueeze(2), -1 / self._batch_size)

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
    most_steps = None

    def __init__(self, stack: Stack, trial: TrialConfig, training: TrainingImages, *sizes: int) -> None:
        super().__init__(stack, trial, training, *sizes)
        batches = (self._num_steps, self._num_replicates, self._batch_size)
        self._order = torch.zeros(batches, dtype=torch.int64, device=self._device)
        self._counter = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._kept = torch.zeros(*batches, training.num_classes, device=self._device)
        keep = partial(self._kept.index_copy_, 0, self._counter, self._logits.unsqueeze(0))
        advance = partial(self._counter.add_, torch.ones_like(self._counter))
        calls: list[Call] = [*self._gather(), *self._calls, keep, advance]
        changed = [*(stack.flat[name] for name in ("parameters", *MOMENTS)), stack.num_steps, self._counter]
        self._take = as_one_call(calls, changed, self._device)

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        self._order.copy_(order.view(-1, self._num_steps, self._batch_size).transpose(0, 1))
        self._counter.zero_()
        for _ in range(self._num_steps):
            self._take()
        return self._sums(self._kept.transpose(0, 1).flatten(1, 2), self._training.labels[order])

    def _gather(self) -> Iterator[Call]:
        """Fetches the images and targets of the batch that the counter stands at."""
        indices = torch.zeros_like(self._order[:1])
        yield partial(torch.index_select, self._order, 0, self._counter, out=indices)
        for part, inputs in gapless_parts(indices[0], self._inputs):
            yield partial(torch.index_select, self._training.images, 0, part.flatten(), out=inputs.flatten(0, -2))
        hinge = self._trial.loss == "hinge"
        labels = self._targets.flatten() if hinge else torch.zeros_like(indices).flatten()
        yield partial(torch.index_select, self._training.labels, 0, indices.flatten(), out=labels)
        if not hinge:
            rows = torch.zeros(2 * (self._training.num_classes,), device=self._device)
            rows.fill_diagonal_(-1 / self._batch_size)
            yield partial(torch.index_select, rows, 0, labels, out=self._targets.flatten(0, 1))

    def _affine(self, bias: Tensor, inputs: Tensor, weight: Tensor, outputs: Tensor) -> Iterator[Call]:
        yield partial(torch.baddbmm, bias.unsqueeze(1), inputs, weight, out=outputs)

    def _product(self, one: Tensor, other: Tensor, result: Tensor) -> Iterator[Call]:
        yield partial(torch.bmm, one, other, out=result)
