"""The loop itself: epochs, outputs and state of all replicates of a grid point.

The caller first sets the number of threads and flushes denormals (`sweep.loops.contract.prepare_torch`).
"""

import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from sweep.config import TrialConfig
from sweep.loops.contract import MOMENTS, EpochScores, TrainingSplit
from sweep.loops.stacked.buffers import Stack
from sweep.loops.stacked.device import DeviceStep, on_stream, own_stream, resident
from sweep.loops.stacked.step import Step
from sweep.loops.torch import SCORING_BATCH, initial_parameters, layer_shapes, shuffle
from sweep.pieces import PRODUCTS, load

# What on the CPU leaves the cache, which other processes use as well, is divided: replicates by their buffers into
# groups, which take turns; the steps of an epoch by a replicate's logits into stretches.
_GROUP_BYTES = 6 * 2**20
_LOGIT_BYTES = 2**20
_MOST_STEPS = 64
_STATE = ("parameters", *MOMENTS)


class StackedLoop:
    """Trains all replicates together; interface and numbers are those of `ReferenceLoop`.

    On the CPU a replicate's bits depend neither on R nor on its place among the others. On CUDA they may depend on R,
    since cuBLAS chooses how to make a batch of products by their number; the same R on the same kind of GPU gives the
    same bits, however often training was interrupted and whatever trains beside it. The time of an epoch is divided
    evenly among the replicates. Everything but training works wherever torch does: it needs no private operator.

    Args:
        products: The library of the products on the CPU, one of `sweep.pieces.PRODUCTS`.
        step: How a step is taken; by default the kind made for the device and the products.
    """

    def __init__(
        self,
        trial: TrialConfig,
        training: TrainingSplit,
        *,
        device: str = "cpu",
        products: str = "torch",
        step: type[Step] | None = None,
    ) -> None:
        self._trial, self._device = trial, torch.device(device)
        self._stream = own_stream(self, self._device)
        self._kind: type[Step] = step or (DeviceStep if self._device.type == "cuda" else load(PRODUCTS[products]))
        shapes = layer_shapes(training.inputs.shape[1], trial.layers, training.num_classes)
        parameters = torch.stack([initial_parameters(shapes, seed) for seed in trial.seeds])
        self._group_sizes = _group_sizes(*parameters.shape) if self._kind.on_cpu else [len(trial.seeds)]
        with on_stream(self._stream):
            self._training = resident(training, self._device)
            self._groups = [Stack(shapes, size, self._device) for size in self._group_sizes]
        moments = dict.fromkeys(MOMENTS, torch.zeros_like(parameters))
        self.load_state({"steps": torch.tensor(0), "parameters": parameters, **moments})
        # By group and batch size: that of whole batches and that of the last short one.
        self._steps: dict[tuple[Stack, int], Step] = {}

    @torch.inference_mode()
    def train_epoch(self, epoch: int) -> EpochScores:
        """Trains every replicate for one epoch, counted from 1."""
        start = time.perf_counter()
        num_samples = len(self._training.inputs)
        order = torch.stack([shuffle(num_samples, seed, epoch) for seed in self._trial.seeds])
        with on_stream(self._stream):
            order = order.to(self._device)
            sums = torch.zeros(2, len(order), dtype=torch.float64, device=self._device)
            sizes = (num_samples, self._trial.batch_size, self._training.num_classes)
            for batch_size, first, end in stretches(*sizes, in_cache=self._kind.on_cpu):
                num_steps = (end - first) // batch_size
                rows = zip(self._groups, torch.split(order[:, first:end], self._group_sizes), strict=True)
                parts = [self._step(group, batch_size, num_steps).repeat(part) for group, part in rows]
                sums += torch.cat(parts, dim=1)
            loss, correct = sums.cpu() / num_samples
        train_time_s = torch.full_like(loss, (time.perf_counter() - start) / len(order))
        return EpochScores(loss=loss, correct=correct, train_time_s=train_time_s)

    def _step(self, group: Stack, batch_size: int, num_steps: int) -> Step:
        key = (group, batch_size)
        if key not in self._steps:
            self._steps[key] = self._kind(group, self._trial, self._training, batch_size, num_steps)
        return self._steps[key]

    @torch.inference_mode()
    def outputs(self, inputs: Tensor) -> Tensor:
        """Gives the outputs `[R, N, C]` of inputs `[N, D]`, on the CPU, without learning."""

        def forward(outputs: Tensor, model: list[tuple[Tensor, Tensor]]) -> Tensor:
            for depth, (weight, bias) in enumerate(model):
                if depth:
                    self._kind.activation(self._trial.activation, outputs)()
                outputs = self._kind.linear(outputs, weight, bias)
            return outputs

        with on_stream(self._stream):
            # Copied, since a product's last bits may depend on how its operands are aligned.
            chunks = [chunk.to(self._device, copy=True) for chunk in torch.split(inputs, SCORING_BATCH)]
            models = [
                [(weight[r], bias[r]) for weight, bias in group.layers("parameters")]
                for group in self._groups
                for r in range(group.num_replicates)
            ]
            return torch.stack([torch.cat([forward(chunk, model) for chunk in chunks]) for model in models]).cpu()

    def state(self) -> dict[str, Tensor]:
        """Gives a copy of everything that the next epoch depends on, on the CPU."""
        with on_stream(self._stream):
            rows = {name: [group.flat[name][:, group.places] for group in self._groups] for name in _STATE}
            tensors = {name: torch.cat(parts).cpu() for name, parts in rows.items()}
            return {"steps": self._groups[0].num_steps.long().cpu(), **tensors}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues from what `state` gave."""
        with on_stream(self._stream):
            for name in _STATE:
                for group, rows in zip(self._groups, torch.split(state[name], self._group_sizes), strict=True):
                    group.flat[name][:, group.places] = rows.to(self._device)
                    group.num_steps.copy_(state["steps"])


def stretches(num_samples: int, batch_size: int, num_classes: int, *, in_cache: bool) -> Iterator[tuple[int, int, int]]:
    """Cuts an epoch into stretches of whole batches of one size: (batch size, first sample, end).

    Not by the number of replicates, since sums are added up stretch by stretch: their last bits depend on it.
    """
    batch_size = min(batch_size, num_samples)
    whole = num_samples - num_samples % batch_size
    fit = _LOGIT_BYTES // (4 * batch_size * num_classes)
    longest = batch_size * max(1, min(_MOST_STEPS, fit)) if in_cache else whole
    for first in range(0, whole, longest):
        yield batch_size, first, min(first + longest, whole)
    if whole < num_samples:
        yield num_samples - whole, whole, num_samples


def _group_sizes(num_replicates: int, num_parameters: int) -> list[int]:
    """Divides the replicates into as few groups of nearly equal size as fit the cache."""
    largest = max(1, _GROUP_BYTES // (4 * 4 * num_parameters))
    groups = torch.arange(num_replicates).tensor_split(-(-num_replicates // largest))
    return [len(group) for group in groups]
