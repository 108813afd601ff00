"""The loop itself: epochs, outputs and state of all replicates of a grid point.

The caller first sets the number of threads and flushes denormals (`trial.prepare_torch`).
"""

import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from sweep.config import TrialConfig
from sweep.loops.contract import EpochScores, TrainingSplit
from sweep.loops.stacked import ACTIVATIONS
from sweep.loops.stacked.device import DeviceStep, own_stream, resident
from sweep.loops.stacked.step import MOMENTS, HostStep, Layers, Stack, Step
from sweep.loops.torch import SCORING_BATCH, initial_parameters, layer_shapes, shuffle

# Replicates whose buffers exceed this leave the cache, which other processes use as well; so they are divided into
# groups, which take turns.
_GROUP_BYTES = 6 * 2**20


class StackedLoop:
    """Trains all replicates together; interface and numbers are those of `ReferenceLoop`.

    On the CPU a replicate's bits depend neither on R nor on its place among the others. On CUDA they may depend on R,
    since cuBLAS chooses how to make a batch of products by their number; the same R on the same kind of GPU gives the
    same bits, however often training was interrupted and whatever trains beside it. The time of an epoch is divided
    evenly among the replicates.

    Everything but training works wherever torch does: it needs no private operator.

    Args:
        trial: The grid point and its seeds.
        training: The training split.
        device: "cpu" or "cuda".
        step: How a step is taken; by default the kind made for the device.
    """

    def __init__(
        self, trial: TrialConfig, training: TrainingSplit, *, device: str = "cpu", step: type[Step] | None = None
    ) -> None:
        self._trial, self._device = trial, torch.device(device)
        self._on_stream = own_stream(self, self._device)
        self._kind = step or (DeviceStep if self._device.type == "cuda" else HostStep)
        shapes = layer_shapes(training.inputs.shape[1], trial.layers, training.num_classes)
        parameters = torch.stack([initial_parameters(shapes, seed) for seed in trial.seeds])
        self._group_sizes = _group_sizes(*parameters.shape) if self._kind.in_groups else [len(trial.seeds)]
        with self._on_stream:
            self._training = resident(training, self._device)
            self._groups = [Stack(shapes, size, self._device) for size in self._group_sizes]
            self._write("parameters", parameters)
        # By group and batch size: that of whole batches and that of the last short one.
        self._steps: dict[tuple[Stack, int], Step] = {}

    @torch.inference_mode()
    def train_epoch(self, epoch: int) -> EpochScores:
        """Trains every replicate for one epoch, counted from 1."""
        start = time.perf_counter()
        num_samples, num_replicates = len(self._training.inputs), len(self._trial.seeds)
        order = torch.stack([shuffle(num_samples, seed, epoch) for seed in self._trial.seeds])
        with self._on_stream:
            loss, correct = self._train(order.to(self._device)).cpu() / num_samples
        train_time_s = torch.full_like(loss, (time.perf_counter() - start) / num_replicates)
        return EpochScores(loss=loss, correct=correct, train_time_s=train_time_s)

    def _train(self, order: Tensor) -> Tensor:
        """Takes the steps of an epoch in `order` `[R, N]`; gives sums of losses and of correct predictions `[2, R]`."""
        sums = torch.zeros(2, len(order), dtype=torch.float64, device=self._device)
        most_steps = self._kind.most_steps(self._trial.batch_size, self._training.num_classes)
        for batch_size, first, end in _stretches(order.shape[1], self._trial.batch_size, most_steps):
            rows = torch.split(order[:, first:end], self._group_sizes)
            steps = [self._step(group, batch_size, (end - first) // batch_size) for group in self._groups]
            sums += torch.cat([step.repeat(part) for step, part in zip(steps, rows, strict=True)], dim=1)
        return sums

    def _step(self, group: Stack, batch_size: int, num_steps: int) -> Step:
        key = (group, batch_size)
        if key not in self._steps:
            self._steps[key] = self._kind(group, self._trial, self._training, batch_size, num_steps)
        return self._steps[key]

    @torch.inference_mode()
    def outputs(self, inputs: Tensor) -> Tensor:
        """Gives the outputs `[R, N, C]` of inputs `[N, D]`, on the CPU, without learning."""
        with self._on_stream:
            # Copied, since a product's last bits may depend on how its operands are aligned.
            chunks = [chunk.to(self._device, copy=True) for chunk in torch.split(inputs, SCORING_BATCH)]
            models = self._models()
            return torch.stack([torch.cat([self._forward(chunk, model) for chunk in chunks]) for model in models]).cpu()

    def _models(self) -> Iterator[Layers]:
        """Gives the layers of each replicate."""
        for group in self._groups:
            layers = group.layers("parameters")
            for r in range(group.num_replicates):
                yield [(weight[r], bias[r]) for weight, bias in layers]

    def _forward(self, outputs: Tensor, model: Layers) -> Tensor:
        activate = getattr(torch, ACTIVATIONS[self._trial.activation][0])
        for depth, (weight, bias) in enumerate(model):
            if depth:
                activate(outputs)
            outputs = torch.addmm(bias, outputs, weight.t())
        return outputs

    def state(self) -> dict[str, Tensor]:
        """Gives a copy of everything that the next epoch depends on, on the CPU."""
        with self._on_stream:
            names = ("parameters", *MOMENTS)
            tensors = {name: torch.cat([group.read(name) for group in self._groups]).cpu() for name in names}
            return {"steps": self._groups[0].num_steps.long().cpu(), **tensors}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues from what `state` gave."""
        with self._on_stream:
            for group in self._groups:
                group.num_steps.copy_(state["steps"])
            for name in ("parameters", *MOMENTS):
                self._write(name, state[name])

    def _write(self, name: str, values: Tensor) -> None:
        for group, rows in zip(self._groups, torch.split(values, self._group_sizes), strict=True):
            group.write(name, rows)


def _group_sizes(num_replicates: int, num_parameters: int) -> list[int]:
    """Divides the replicates into as few groups of nearly equal size as fit the cache."""
    largest = max(1, _GROUP_BYTES // (4 * 4 * num_parameters))
    groups = torch.arange(num_replicates).tensor_split(-(-num_replicates // largest))
    return [len(group) for group in groups]


def _stretches(num_samples: int, batch_size: int, most_steps: int | None) -> Iterator[tuple[int, int, int]]:
    """Cuts an epoch into stretches of whole batches of one size: (batch size, first sample, end)."""
    batch_size = min(batch_size, num_samples)
    whole = num_samples - num_samples % batch_size
    longest = batch_size * most_steps if most_steps else whole
    for first in range(0, whole, longest):
        yield batch_size, first, min(first + longest, whole)
    if whole < num_samples:
        yield num_samples - whole, whole, num_samples
