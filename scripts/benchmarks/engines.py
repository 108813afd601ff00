"""Microseconds per model step: both engines with every library of products, and the floors they cannot go below.

A floor is the step's matrix products by one library, each timed alone, and Adam over one flat buffer. All on one
thread, timed by the processor time of that thread, so that other processes disturb through the caches only.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch

from benchmarks.values import summary
from sweep.config import HIDDEN_LAYERS, TrialConfig
from sweep.datasets import load_dataset
from sweep.loops.contract import Loop, TrainingSplit, prepare_torch
from sweep.loops.stacked.loop import StackedLoop
from sweep.loops.stacked.products import tiles
from sweep.loops.torch import ReferenceLoop, layer_shapes
from sweep.pieces import PRODUCTS

BATCH_SIZE = 64
ENGINES: dict[str, tuple[Callable[..., Loop], int]] = {"reference, R = 1": (ReferenceLoop, 1)} | {
    f"stacked, {products}, R = {num_replicates}": (partial(StackedLoop, products=products), num_replicates)
    for products in PRODUCTS
    for num_replicates in (1, 3)
}


def measure_engines(*, rounds: int, activations: list[str], loss: str) -> list[dict[str, Any]]:
    """Trains an epoch of real MNIST per round with every engine, depth and activation, interleaved.

    Returns:
        A row per depth, activation and engine: `us_per_step`, `floor_us_` with torch and with the best library, and
        the medians over rounds of its ratio to the latter and of its share of the peak, both of the same round.
    """
    prepare_torch(num_threads=1)
    split = load_dataset("mnist", validation_size=5000).train
    training = TrainingSplit(
        inputs=torch.from_numpy(split.images), targets=torch.from_numpy(split.labels), num_classes=10
    )
    num_steps = -(-len(split.labels) // BATCH_SIZE)
    rows = []
    for depth, activation in product(HIDDEN_LAYERS, activations):
        engines = {
            name: kind(_trial(depth, activation, loss, num_replicates), training)
            for name, (kind, num_replicates) in ENGINES.items()
        }
        shapes = layer_shapes(784, HIDDEN_LAYERS[depth], 10)
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
        for epoch in range(1, rounds + 2):
            floors_us, peak_gflops = measure_floors_us(shapes), measure_peak_gflops()
            best_us = min(floors_us.values())
            for name, engine in engines.items():
                start = time.thread_time()
                engine.train_epoch(epoch)
                us = (time.thread_time() - start) / num_steps / ENGINES[name][1] * 1e6
                gflops = flops_per_step(shapes) / us / 1e3
                row = {"us_per_step": us, "to_floor": us / best_us, "gflops": gflops}
                row |= {"floor_us_torch": floors_us["torch"], "floor_us_best": best_us}
                # The first epoch makes buffers, and Adam's moments have no denormals yet.
                if epoch > 1:
                    measured[name].append(row | {"of_peak": gflops / peak_gflops, "peak_gflops": peak_gflops})
        for name, values in measured.items():
            columns = {key: summary([row[key] for row in values]) for key in values[0]}
            rows.append({"depth": depth, "activation": activation, "loss": loss, "engine": name, **columns})
    return rows


def flops_per_step(shapes: list[tuple[int, int]]) -> int:
    """Work of a step of one model: forward, gradients of weights, gradients of all inputs but the first layer's."""
    sizes = [outputs * inputs for outputs, inputs in shapes]
    return 2 * BATCH_SIZE * (3 * sum(sizes) - sizes[0])


def measure_floors_us(shapes: list[tuple[int, int]]) -> dict[str, float]:
    """Microseconds of a step's matrix products with each library, each timed alone, and of Adam."""
    with torch.inference_mode():
        adam_us = _time_us(_adam(shapes))
        return {
            name: adam_us + sum(_time_us(multiply(*operands)) for operands in _products(shapes))
            for name, multiply in _MULTIPLY.items()
        }


def _numpy(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> Callable[[], object]:
    return partial(np.matmul, left.numpy(), right.numpy(), out.numpy())


_MULTIPLY: dict[str, Callable[..., Callable[[], object]]] = {
    "torch": lambda left, right, out: partial(torch.mm, left, right, out=out),
    "numpy": _numpy,
    "numpy_cut": lambda left, right, out: _numpy(*tiles(left, right, out)),
}


def measure_peak_gflops() -> float:
    """The best rate of square products: what this thread can do at the moment."""
    rates = []
    for size in (512, 1024):
        one, other, result = torch.rand(3, size, size).unbind(0)
        calls = (multiply(one, other, result) for multiply in _MULTIPLY.values())
        rates += [2 * size**3 / _time_us(call, repeats=3) / 1e3 for call in calls]
    return max(rates)


def _products(shapes: list[tuple[int, int]]) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    for layer, (outputs, inputs) in enumerate(shapes):
        x, weight, gradient = (
            torch.rand(*shape) for shape in ((BATCH_SIZE, inputs), (outputs, inputs), (BATCH_SIZE, outputs))
        )
        yield x, weight.t(), torch.empty_like(gradient)
        yield gradient.t(), x, torch.empty_like(weight)
        if layer:
            yield gradient, weight, torch.empty_like(x)


def _adam(shapes: list[tuple[int, int]]) -> Callable[[], object]:
    size = sum(outputs * inputs + outputs for outputs, inputs in shapes)
    tensors = [[tensor] for tensor in torch.rand(4, size).unbind(0)]
    settings = {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    return partial(torch._fused_adam_, *tensors, [], [torch.tensor(9.0)], amsgrad=False, maximize=False, **settings)


def _time_us(call: Callable[[], object], *, repeats: int = 30) -> float:
    """Median over five blocks of the time of a call, after two calls that fill the caches."""
    call()
    call()
    times = []
    for _ in range(5):
        start = time.thread_time()
        for _ in range(repeats):
            call()
        times.append((time.thread_time() - start) / repeats * 1e6)
    return summary(times)["median"]


def _trial(depth: str, activation: str, loss: str, num_replicates: int) -> TrialConfig:
    return TrialConfig(
        dataset="mnist",
        dataset_sha256="",
        validation_size=5000,
        depth=depth,
        layers=HIDDEN_LAYERS[depth],
        activation=activation,
        loss=loss,
        learning_rate=0.001,
        batch_size=BATCH_SIZE,
        epochs=1,
        seeds=tuple(range(num_replicates)),
        engine="",
    )
