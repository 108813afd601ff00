"""The reference engine: R replicates of one grid point trained with plain PyTorch, one after the other.

It is what every faster engine is checked against, so it is written to be read. Axis letters: R replicates,
N images, D inputs, C classes, P parameters of one replicate.

An engine's state is the same for every engine: float32 `parameters`, `exp_avg` and `exp_avg_sq` `[R, P]` (Adam's
moments) and the number of `steps` taken. So a checkpoint of one engine can be read by another.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sweep.config import TrialConfig
from sweep.losses import LOSSES
from sweep.models import build_mlp, initial_parameters, layer_shapes, shuffle

# Images scored at a time when nothing is learned; fixed, since the size of a product decides its last bits.
SCORING_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """The training split: images `[N, D]` float32 and labels `[N]` int64, on the CPU, and the number of classes."""

    images: Tensor
    labels: Tensor
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class EpochScores:
    """What an epoch of training gives for each replicate, all `[R]` on the CPU.

    Attributes:
        loss: Mean over the epoch's images, each scored by the network before its batch's update; float64.
        accuracy: Likewise, in [0, 1]; float64.
        train_time_s: Seconds of training, float64.
    """

    loss: Tensor
    accuracy: Tensor
    train_time_s: Tensor


class Engine(Protocol):
    """What trains the replicates of one grid point."""

    def train_epoch(self, epoch: int) -> EpochScores:
        """Trains every replicate for one epoch, counted from 1."""

    def logits(self, images: Tensor) -> Tensor:
        """Gives the logits `[R, N, C]` of images `[N, D]`, on the CPU, without learning."""

    def state(self) -> dict[str, Tensor]:
        """Gives a copy of everything that the next epoch depends on, on the CPU."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues from what `state` gave."""


class ReferenceEngine:
    """Trains replicate by replicate: `nn.Sequential`, autograd, fused Adam.

    Args:
        trial: The grid point and its seeds.
        training: The training split.
        device: Such as "cpu" or "cuda".
    """

    def __init__(self, trial: TrialConfig, training: TrainingImages, *, device: str = "cpu") -> None:
        shapes = layer_shapes(training.images.shape[1], trial.layers, training.num_classes)
        self._trial = trial
        self._device = torch.device(device)
        self._images, self._labels = training.images.to(device), training.labels.to(device)
        self._loss = LOSSES[trial.loss]
        self._models = [build_mlp(shapes, trial.activation).to(device) for _ in trial.seeds]
        for model, seed in zip(self._models, trial.seeds, strict=True):
            vector_to_parameters(initial_parameters(shapes, seed).to(device), model.parameters())
        self._optimizers = [
            torch.optim.Adam(model.parameters(), lr=trial.learning_rate, fused=True) for model in self._models
        ]
        self._steps = 0

    def train_epoch(self, epoch: int) -> EpochScores:
        """Trains every replicate for one epoch, counted from 1."""
        rows = [self._train_replicate(replicate, epoch) for replicate in range(len(self._models))]
        self._steps += -(-len(self._images) // self._trial.batch_size)
        loss, correct, seconds = torch.tensor(rows, dtype=torch.float64).unbind(1)
        return EpochScores(loss=loss / len(self._images), accuracy=correct / len(self._images), train_time_s=seconds)

    def _train_replicate(self, replicate: int, epoch: int) -> tuple[float, float, float]:
        start = time.perf_counter()
        model, optimizer = self._models[replicate], self._optimizers[replicate]
        order = shuffle(len(self._images), self._trial.seeds[replicate], epoch).to(self._device)
        total_loss = torch.zeros((), dtype=torch.float64, device=self._device)
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        for batch in torch.split(order, self._trial.batch_size):
            images, labels = self._images[batch], self._labels[batch]
            logits = model(images)
            loss = self._loss(logits, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total_loss += loss.detach().double() * len(batch)
            correct += (logits.argmax(1) == labels).sum()
        return total_loss.item(), correct.item(), time.perf_counter() - start

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Gives the logits `[R, N, C]` of images `[N, D]`, on the CPU, without learning."""
        chunks = torch.split(images.to(self._device), SCORING_BATCH)
        return torch.stack([torch.cat([model(chunk) for chunk in chunks]) for model in self._models]).cpu()

    def state(self) -> dict[str, Tensor]:
        """Gives a copy of everything that the next epoch depends on, on the CPU."""
        rows: dict[str, list[Tensor]] = {"parameters": [], "exp_avg": [], "exp_avg_sq": []}
        for model, optimizer in zip(self._models, self._optimizers, strict=True):
            parameters = list(model.parameters())
            rows["parameters"].append(parameters_to_vector(parameters).detach().cpu())
            for key in ("exp_avg", "exp_avg_sq"):
                moments = [optimizer.state[p].get(key, torch.zeros_like(p)) for p in parameters]
                rows[key].append(parameters_to_vector(moments).cpu())
        return {"steps": torch.tensor(self._steps), **{key: torch.stack(row) for key, row in rows.items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues from what `state` gave."""
        self._steps = int(state["steps"])
        for replicate, (model, optimizer) in enumerate(zip(self._models, self._optimizers, strict=True)):
            parameters = list(model.parameters())
            vector_to_parameters(state["parameters"][replicate].to(self._device), parameters)
            sizes = [p.numel() for p in parameters]
            for key in ("exp_avg", "exp_avg_sq"):
                parts = torch.split(state[key][replicate].to(self._device), sizes)
                for parameter, part in zip(parameters, parts, strict=True):
                    optimizer.state[parameter][key] = part.view_as(parameter).clone()
            for parameter in parameters:
                optimizer.state[parameter]["step"] = torch.tensor(float(self._steps), device=self._device)
