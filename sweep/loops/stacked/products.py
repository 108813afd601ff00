"""What multiplies matrices on a CPU beside torch: numpy, and which is the fastest there, found out by real steps.

Torch multiplies with MKL or what it was built with, numpy with OpenBLAS, as a rule: as a whole, or cut into tiles that
OpenBLAS takes with its small-matrix kernels, which pack nothing first. Which is fastest turns on the processor: on some
numpy is up to twice as fast. A trial's last bits turn on it, so it is chosen once for an experiment.

In a step with numpy's products both work on the same memory. Adam and most activations stay torch's, the loss is
worked out by columns.

Axis letters: R replicates, S steps, B samples of a batch, C classes.
"""

import dataclasses
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ClassVar

import numpy as np
import threadpoolctl
import torch
from torch import Tensor

from sweep.config import TrialConfig
from sweep.loops.contract import MOMENTS, TrainingSplit, prepare_torch
from sweep.loops.stacked import kept_in, refuses, remembered, unfit
from sweep.loops.stacked.loop import StackedLoop
from sweep.loops.stacked.losses import Call
from sweep.loops.stacked.step import HostStep, make_all
from sweep.loops.torch import layer_shapes
from sweep.pieces import PRODUCTS

# What numpy has faster than torch, in place of `sweep.loops.stacked.ACTIVATIONS`.
_ACTIVATIONS = {"tanh": np.tanh}
# OpenBLAS's small-matrix kernels take products of at most so many rows x columns x depth; where the right factor is a
# transpose, of at most so many rows x columns and of at least that depth.
# Source: OpenBLAS, kernel/x86_64/sgemm_small_kernel_permit_skylakex.c.
_SMALL = 1_000_000
_SMALL_RESULT, _SMALL_DEPTH = 1200, 32
# A tile has as many rows and columns at least, and columns for whole vectors of AVX-512 if they divide so.
_LEAST, _VECTOR = 4, 16
# What another library than torch's must gain: its numbers are not those of other machines, nor of earlier versions.
_GAIN = 1.1
# Steps of an epoch, and samples x parameters of them; epochs, and the seconds after which none is begun.
_MOST_STEPS, _MOST_WORK = 4, 10**9
_MOST_EPOCHS, _WITHIN_S = 8, 0.3
# Trials that are tried: of the smallest, a middle and the largest model.
_MOST_TRIALS = 3


class NumpyStep(HostStep):
    """Takes products as a whole."""

    cut: ClassVar[bool] = False

    def _losses(self) -> Iterator[Iterable[Call]]:
        by_columns = (tensor.transpose(-1, -2).numpy() for tensor in (self._logits, self._gradients[-1][1]))
        self._columns = self._loss.columns(*by_columns)
        return map(self._columns.calls, range(self._num_steps))

    def _take(self, batches: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        with np.errstate(all="ignore"):  # training that diverges is said in the report
            self._columns.begin(classes.numpy())
            self._make_steps(batches)
            losses = torch.from_numpy(self._columns.of_samples(classes.numpy()))
        predictions = self._logits[: len(batches)].transpose(-1, -2).max(-2).indices
        return losses, predictions == classes

    def _bias_gradient(self, gradient: Tensor, out: Tensor) -> Call:
        ones = np.ones((1, self._batch_size), np.float32)
        return partial(np.matmul, ones, gradient.numpy(), out.unsqueeze(1).numpy())

    def _logits_buffer(self, *steps: int) -> Tensor:
        by_samples = super()._logits_buffer(*steps).flatten(-2)
        return torch.unflatten(by_samples, -1, (-1, self._batch_size)).transpose(-1, -2)

    @classmethod
    def _products(cls, *operands: Tensor, out: Tensor) -> Iterator[Call]:
        *bias, left, right = operands
        factors = tiles(left, right, out) if cls.cut else (left, right, out)
        yield partial(np.matmul, *(tensor.numpy() for tensor in factors))
        for values in bias:
            yield partial(out.add_, values)

    @classmethod
    def activation(cls, name: str, values: Tensor) -> Call:
        """Prepares an activation of values, in their place."""
        if name not in _ACTIVATIONS:
            return super().activation(name, values)
        array = values.numpy()
        return partial(_ACTIVATIONS[name], array, array)

    @classmethod
    def linear(cls, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Gives the outputs `[N, outputs]` of a layer of one replicate."""
        outputs = inputs.new_empty(len(inputs), len(weight))
        with np.errstate(all="ignore"):
            make_all([*cls._products(bias, inputs, weight.t(), out=outputs)])
        return outputs


class CutNumpyStep(NumpyStep):
    """Takes products in tiles."""

    cut = True


def tiles(left: Tensor, right: Tensor, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cuts a product of matrices `[..., M, K]` and `[..., K, N]` into products of views, as `tile` says."""
    (num_rows, depth), num_columns = left.shape[-2:], right.shape[-1]
    rows, columns = tile(num_rows, num_columns, depth, transposed=right.stride(-1) != 1)
    return (
        torch.unflatten(left, -2, (-1, rows)).unsqueeze(-3),
        torch.unflatten(right, -1, (-1, columns)).transpose(-2, -3).unsqueeze(-4),
        torch.unflatten(torch.unflatten(out, -1, (-1, columns)), -3, (-1, rows)).transpose(-2, -3),
    )


@cache
def tile(num_rows: int, num_columns: int, depth: int, *, transposed: bool) -> tuple[int, int]:
    """Gives the rows and columns of the tiles of a product: as few as are small, all of one size, as square as can be.

    The whole, if it is small or cannot be cut so. Always the same for the same sizes, since they decide the last bits
    of the numbers. A product is `transposed` if its right factor is the transpose of what lies in memory.
    """
    whole, most = (num_rows, num_columns), _SMALL // depth
    if transposed:
        most = min(most, _SMALL_RESULT)
    if num_rows * num_columns <= most or (transposed and depth < _SMALL_DEPTH):
        return whole
    vector = math.gcd(num_columns, _VECTOR)
    sizes = [
        (rows, columns)
        for rows in _divisors(num_rows)
        for columns in _divisors(num_columns)
        if rows * columns <= most and columns % vector == 0
    ]
    return max(sizes, key=lambda size: (size[0] * size[1], -max(size) / min(size), size), default=whole)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(_LEAST, number + 1) if number % divisor == 0]


# ---- which library


def numpy_library() -> str:
    """Names the library that numpy multiplies with, its version and the processor it works for; "" if that is unknown.

    Without a name the number of its threads could not be set either.
    """
    found = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    own = [library for library in found if "numpy" in library["filepath"]] or found
    return ", ".join(" ".join(filter(None, map(each.get, ("internal_api", "version", "architecture")))) for each in own)


def measure(
    trials: Sequence[TrialConfig], num_samples: int, num_inputs: int, num_classes: int, *, num_threads: int
) -> dict[str, float]:
    """Gives microseconds per step of a model with every library that can be used on this CPU.

    {} if the stacked loop cannot be used or takes none of the trials. Left out is a library with which a replicate's
    numbers depend on those beside it. Measured once on a machine, so that the same sweep has the same numbers there.
    """
    trials = [*_examples([trial for trial in trials if not refuses(trial)])]
    if not trials or unfit():
        return {}
    libraries = [name for name in PRODUCTS if not unfit("cpu", name)]
    shapes = [(trial.layers, trial.batch_size, trial.activation, trial.loss) for trial in trials]
    question = json.dumps([num_threads, num_samples, num_inputs, num_classes, shapes, libraries, numpy_library()])

    def read(kept: Mapping[str, float]) -> dict[str, float]:
        return {name: float(kept[name]) for name in kept if name in PRODUCTS}

    def find() -> tuple[dict[str, float], bool]:
        # What is set for training is set back, and for that thread alone: a driver writes a report afterwards.
        with (
            threadpoolctl.threadpool_limits(),
            ThreadPoolExecutor(1, initializer=prepare_torch, initargs=(num_threads,)) as own,
        ):
            us_per_step = own.submit(_measure, trials, libraries, num_samples, num_inputs, num_classes).result()
        torch.set_num_threads(torch.get_num_threads())  # that thread has set what new threads have
        return us_per_step, True

    return remembered(partial(kept_in, "cpu", question), read, find)


def fastest(us_per_step: Mapping[str, float]) -> str:
    """Gives the library to take: torch, unless another gains enough."""
    best = min(us_per_step, key=us_per_step.__getitem__, default="torch")
    return best if us_per_step.get(best, 0) * _GAIN <= us_per_step.get("torch", 0) else "torch"


def _examples(trials: Sequence[TrialConfig]) -> Iterator[TrialConfig]:
    """A trial each of the smallest, a middle and the largest of the shapes that steps have.

    The same ones in whatever order the values of an axis are listed.
    """
    by_name = sorted(trials, key=lambda trial: (trial.activation, trial.loss), reverse=True)
    shapes = {(sum(trial.layers), trial.layers, trial.batch_size): trial for trial in by_name}
    ordered = [shapes[shape] for shape in sorted(shapes)]
    yield from ordered if len(ordered) <= _MOST_TRIALS else (ordered[0], ordered[len(ordered) // 2], ordered[-1])


def _measure(
    trials: Sequence[TrialConfig], libraries: Sequence[str], num_samples: int, num_inputs: int, num_classes: int
) -> dict[str, float]:
    us_per_step = dict.fromkeys(libraries, 0.0)
    draw = torch.Generator().manual_seed(0)
    for trial in trials:
        batch_size = min(trial.batch_size, num_samples)
        num_parameters = sum(map(math.prod, layer_shapes(num_inputs, trial.layers, num_classes)))
        # Of a large model fewer, each of which takes long enough to be timed.
        num_steps = max(1, min(_MOST_STEPS, _MOST_WORK // (batch_size * num_parameters)))
        training = TrainingSplit(
            inputs=torch.rand(num_steps * batch_size, num_inputs, generator=draw),
            targets=torch.randint(0, num_classes, (num_steps * batch_size,), generator=draw),
            num_classes=num_classes,
        )
        of_trial = _us_per_step(trial, training, [*us_per_step])
        us_per_step = {name: us_per_step[name] + us / len(trials) for name, us in of_trial.items()}
    return {name: round(us, 1) for name, us in us_per_step.items()}


def _us_per_step(trial: TrialConfig, training: TrainingSplit, libraries: Sequence[str]) -> dict[str, float]:
    """What the best epoch took with each library, less those with which a replicate depends on its stack."""
    pair, alone = (dataclasses.replace(trial, seeds=seeds) for seeds in ((0, 1), (1,)))
    loops = {name: StackedLoop(pair, training, products=name) for name in libraries}
    times_s: dict[str, list[float]] = {name: [] for name in libraries}
    # A thread's own time leaves out what others do on its core.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    begun = clock()
    for epoch in range(1, _MOST_EPOCHS + 1):
        for name, loop in [*loops.items()]:
            start = clock()
            loop.train_epoch(epoch)
            times_s[name].append(clock() - start)
            if epoch == 1 and name != "torch" and not _is_equal(loop, StackedLoop(alone, training, products=name)):
                del loops[name]
        if clock() - begun > _WITHIN_S:
            break
    num_steps = len(pair.seeds) * math.ceil(len(training.inputs) / pair.batch_size)
    # The first epoch makes buffers.
    return {name: 1e6 * min(times_s[name][1:] or times_s[name]) / num_steps for name in loops}


def _is_equal(loop: StackedLoop, alone: StackedLoop) -> bool:
    """Whether the second replicate of a loop, after an epoch, is the one that is trained alone."""
    alone.train_epoch(1)
    return all(torch.equal(loop.state()[name][1], alone.state()[name][0]) for name in ("parameters", *MOMENTS))
