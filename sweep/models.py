"""The multilayer perceptrons: layer sizes, activations, and initial weights from a generator.

Axis letters: P parameters of one replicate, D inputs, C classes. A replicate's parameters travel as one flat
vector `[P]`: for each layer its weight (outputs x inputs, row by row), then its bias, as `Module.parameters()` gives.
"""

import hashlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Gives the generator of one purpose: the only source of randomness.

    Its stream depends on nothing but the arguments, so a replicate's numbers do not depend on what is trained
    beside it, on the worker, or on how often it was interrupted, and no generator state is ever saved.

    Args:
        seed: Of the replicate.
        purpose: Such as "weights" or "shuffle".
        epoch: From 1; 0 for what happens once.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def layer_shapes(num_inputs: int, layers: Sequence[int], num_classes: int) -> list[tuple[int, int]]:
    """Gives (outputs, inputs) of every linear layer, first to last."""
    sizes = [num_inputs, *layers, num_classes]
    return list(zip(sizes[1:], sizes[:-1], strict=True))


def initial_parameters(shapes: Sequence[tuple[int, int]], seed: int) -> Tensor:
    """Gives the initial parameters `[P]` of a replicate, float32.

    They depend on the seed and the layers only, so activations and losses are compared from the same start.

    Source: the default of `torch.nn.Linear`: weights and biases uniform in +-1/sqrt(inputs).
    """
    stream = generator(seed, "weights")
    parts = []
    for outputs, inputs in shapes:
        bound = 1 / math.sqrt(inputs)
        parts.append(torch.empty(outputs * inputs).uniform_(-bound, bound, generator=stream))
        parts.append(torch.empty(outputs).uniform_(-bound, bound, generator=stream))
    return torch.cat(parts)


def shuffle(num_images: int, seed: int, epoch: int) -> Tensor:
    """Gives the order `[N]` in which an epoch visits the training images: the same at every grid point."""
    return torch.randperm(num_images, generator=generator(seed, "shuffle", epoch))


def build_mlp(shapes: Sequence[tuple[int, int]], activation: str) -> nn.Sequential:
    """Gives the model: linear layers, the activation after every hidden one, none after the output."""
    modules: list[nn.Module] = []
    for outputs, inputs in shapes:
        modules += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*modules[:-1])
