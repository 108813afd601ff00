"""The reference loop: the replicates of one grid point trained with plain PyTorch, one after the other.

Every faster loop is checked against it, so it is written to be read. Here are also the model, a multilayer perceptron,
and the losses. A replicate's parameters travel as one flat vector: for each layer its weight (outputs x inputs, row by
row), then its bias, as `Module.parameters()` gives.

Axis letters: R replicates, N samples, D inputs, C classes, P parameters of one replicate.
"""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sweep.config import TrialConfig
from sweep.loops.contract import MOMENTS, EpochScores, TrainingSplit
from sweep.pieces import ACTIVATIONS, LOSSES, load

# Samples scored at a time when nothing is learned; fixed, since the size of a product decides its last bits.
SCORING_BATCH = 1000


def refuses(trial: TrialConfig) -> str:
    """Nothing that a sweep file can name."""
    return ""


def unfit(device: str) -> str:
    """No device that torch has."""
    return ""


class ReferenceLoop:
    """Trains replicate by replicate: `nn.Sequential`, autograd, fused Adam."""

    def __init__(self, trial: TrialConfig, training: TrainingSplit, *, device: str = "cpu") -> None:
        shapes = layer_shapes(training.inputs.shape[1], trial.layers, training.num_classes)
        self._trial, self._device = trial, torch.device(device)
        self._inputs, self._targets = training.inputs.to(device), training.targets.to(device)
        self._loss = load(LOSSES[trial.loss])
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
        self._steps += -(-len(self._inputs) // self._trial.batch_size)
        loss, correct, seconds = torch.tensor(rows, dtype=torch.float64).unbind(1)
        return EpochScores(loss=loss / len(self._inputs), correct=correct / len(self._inputs), train_time_s=seconds)

    def _train_replicate(self, replicate: int, epoch: int) -> tuple[float, float, float]:
        start = time.perf_counter()
        model, optimizer = self._models[replicate], self._optimizers[replicate]
        order = shuffle(len(self._inputs), self._trial.seeds[replicate], epoch).to(self._device)
        total_loss = torch.zeros((), dtype=torch.float64, device=self._device)
        correct = torch.zeros((), dtype=torch.int64, device=self._device)
        for batch in torch.split(order, self._trial.batch_size):
            outputs, targets = model(self._inputs[batch]), self._targets[batch]
            loss = self._loss(outputs, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.detach().double() * len(batch)
            correct += (outputs.max(1).indices == targets).sum()
        return total_loss.item(), correct.item(), time.perf_counter() - start

    @torch.inference_mode()
    def outputs(self, inputs: Tensor) -> Tensor:
        """Gives the outputs `[R, N, C]` of inputs `[N, D]`, on the CPU, without learning."""
        chunks = torch.split(inputs.to(self._device), SCORING_BATCH)
        return torch.stack([torch.cat([model(chunk) for chunk in chunks]) for model in self._models]).cpu()

    def state(self) -> dict[str, Tensor]:
        """Gives a copy of everything that the next epoch depends on, on the CPU."""
        rows: dict[str, list[Tensor]] = {name: [] for name in ("parameters", *MOMENTS)}
        for model, optimizer in zip(self._models, self._optimizers, strict=True):
            parameters = list(model.parameters())
            rows["parameters"].append(parameters_to_vector(parameters).detach().cpu())
            for name in MOMENTS:
                moments = [optimizer.state[p].get(name, torch.zeros_like(p)) for p in parameters]
                rows[name].append(parameters_to_vector(moments).cpu())
        return {"steps": torch.tensor(self._steps), **{name: torch.stack(row) for name, row in rows.items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues from what `state` gave."""
        self._steps = int(state["steps"])
        for replicate, (model, optimizer) in enumerate(zip(self._models, self._optimizers, strict=True)):
            parameters = list(model.parameters())
            vector_to_parameters(state["parameters"][replicate].to(self._device), parameters)
            sizes = [parameter.numel() for parameter in parameters]
            moments = [torch.split(state[name][replicate].to(self._device), sizes) for name in MOMENTS]
            for parameter, *values in zip(parameters, *moments, strict=True):
                step = torch.tensor(float(self._steps), device=self._device)
                own = {name: value.view_as(parameter).clone() for name, value in zip(MOMENTS, values, strict=True)}
                optimizer.state[parameter].update(step=step, **own)


def make(trial: TrialConfig, training: TrainingSplit, *, device: str = "cpu", products: str = "torch") -> ReferenceLoop:
    """Makes the loop of a trial; it multiplies with torch."""
    return ReferenceLoop(trial, training, device=device)


# ---- the model


def generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Gives the generator of one purpose, such as "weights" or "shuffle": the only source of randomness.

    Its stream depends on nothing but the arguments, so a replicate's numbers do not depend on what is trained beside
    it, on the worker, or on how often it was interrupted, and no generator state is ever saved. The epoch is 0 for
    what happens once.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def layer_shapes(num_inputs: int, layers: Sequence[int], num_outputs: int) -> list[tuple[int, int]]:
    """Gives (outputs, inputs) of every linear layer, first to last."""
    sizes = [num_inputs, *layers, num_outputs]
    return list(zip(sizes[1:], sizes[:-1], strict=True))


def initial_parameters(shapes: Sequence[tuple[int, int]], seed: int) -> Tensor:
    """Gives the initial parameters `[P]` of a replicate, float32: the same whatever the activation and the loss.

    Source: the default of `torch.nn.Linear`: weights and biases uniform in +-1/sqrt(inputs).
    """
    stream = generator(seed, "weights")
    parts = []
    for outputs, inputs in shapes:
        bound = 1 / math.sqrt(inputs)
        parts += [torch.empty(n).uniform_(-bound, bound, generator=stream) for n in (outputs * inputs, outputs)]
    return torch.cat(parts)


def shuffle(num_samples: int, seed: int, epoch: int) -> Tensor:
    """Gives the order `[N]` in which an epoch visits the training samples: the same at every grid point."""
    return torch.randperm(num_samples, generator=generator(seed, "shuffle", epoch))


def build_mlp(shapes: Sequence[tuple[int, int]], activation: str) -> nn.Sequential:
    """Gives the model: linear layers, the activation after every hidden one, none after the output."""
    make_activation = load(ACTIVATIONS[activation])
    modules = [module for outputs, inputs in shapes for module in (nn.Linear(inputs, outputs), make_activation())]
    return nn.Sequential(*modules[:-1])


# ---- the losses: from outputs `[N, C]` and targets `[N]`, the number of a class each, to the mean over the samples


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy against one-hot targets, in nats.

    The same function as `sparse_cross_entropy`, and kept beside it as a control: with equal seeds all their numbers
    must be identical. So both average in the same way; left to themselves they differ in the last bit of the average.

    Source: `torch.nn.functional.cross_entropy` with class probabilities.
    """
    one_hot = functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return functional.cross_entropy(outputs, one_hot, reduction="none").mean()


def sparse_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy against integer targets, in nats.

    Source: `torch.nn.functional.cross_entropy` with class indices.
    """
    return functional.cross_entropy(outputs, targets, reduction="none").mean()


def hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean multi-class hinge loss: max(0, 1 - output of the target + other output), summed over others, divided by C.

    Source: `torch.nn.MultiMarginLoss` with margin 1 and p = 1 (Crammer and Singer, 2001).
    """
    return functional.multi_margin_loss(outputs, targets)
