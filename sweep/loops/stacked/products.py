"""Which library multiplies matrices on a CPU: the one that is fastest there, found out by real steps with each.

Torch multiplies with MKL or what it was built with, numpy with OpenBLAS, as a rule, in two ways; which is fastest turns
on the processor. A trial's last bits turn on the library, so it is chosen once for an experiment.

Axis letters: D inputs, C classes.
"""

import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import threadpoolctl
import torch

from sweep.config import TrialConfig
from sweep.loops.contract import MOMENTS, TrainingSplit, prepare_torch
from sweep.loops.stacked import kept_in, refuses, remembered, unfit
from sweep.loops.stacked.loop import StackedLoop
from sweep.pieces import PRODUCTS

# What another library than torch's must gain: its numbers are not those of other machines, nor of earlier versions.
_GAIN = 1.1
# Steps of an epoch, epochs of a trial, and what they may take; two are always made, of which the first makes buffers.
_NUM_STEPS, _MOST_EPOCHS, _WITHIN_S = 4, 6, 0.2
# Trials that are tried: of the smallest, a middle and the largest model.
_MOST_TRIALS = 3


def numpy_library() -> str:
    """Names the library that numpy multiplies with, its version and the processor it works for; "" if that is unknown.

    Without a name the number of its threads could not be set either.
    """
    found = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    own = [library for library in found if "numpy" in library["filepath"]] or found
    return " ".join(str(own[0].get(key)) for key in ("internal_api", "version", "architecture")) if own else ""


def measure(trials: Sequence[TrialConfig], num_inputs: int, num_classes: int, *, num_threads: int) -> dict[str, float]:
    """Gives microseconds per step of a model with every library that can be used on this CPU.

    {} if the stacked loop cannot be used or takes none of the trials. Left out is a library with which a replicate's
    numbers depend on those beside it. Measured once on a machine, so that the same sweep has the same numbers there.
    """
    trials = [*_examples([trial for trial in trials if not refuses(trial)])]
    if not trials or unfit():
        return {}
    shapes = [(trial.layers, trial.batch_size, trial.activation, trial.loss) for trial in trials]
    question = json.dumps([num_threads, num_inputs, num_classes, shapes])

    def read(kept: Mapping[str, float]) -> dict[str, float]:
        return {name: float(kept[name]) for name in kept if name in PRODUCTS}

    def find() -> tuple[dict[str, float], bool]:
        prepare_torch(num_threads)
        return _measure(trials, num_inputs, num_classes), True

    return remembered(partial(kept_in, "cpu", question), read, find)


def fastest(us_per_step: Mapping[str, float]) -> str:
    """Gives the library to take: torch, unless another gains enough."""
    best = min(us_per_step, key=us_per_step.__getitem__, default="torch")
    return best if us_per_step.get(best, 0) * _GAIN <= us_per_step.get("torch", 0) else "torch"


def _examples(trials: Sequence[TrialConfig]) -> Iterator[TrialConfig]:
    """A trial each of the smallest, a middle and the largest of the shapes that steps have."""
    shapes = {(sum(trial.layers), trial.layers, trial.batch_size): trial for trial in trials}
    ordered = [shapes[shape] for shape in sorted(shapes)]
    yield from ordered if len(ordered) <= _MOST_TRIALS else (ordered[0], ordered[len(ordered) // 2], ordered[-1])


def _measure(trials: Sequence[TrialConfig], num_inputs: int, num_classes: int) -> dict[str, float]:
    us_per_step = {name: 0.0 for name in PRODUCTS if not unfit("cpu", name)}
    draw = torch.Generator().manual_seed(0)
    for trial in trials:
        num_samples = _NUM_STEPS * trial.batch_size
        training = TrainingSplit(
            inputs=torch.rand(num_samples, num_inputs, generator=draw),
            targets=torch.randint(0, num_classes, (num_samples,), generator=draw),
            num_classes=num_classes,
        )
        of_trial = _us_per_step(trial, training, [*us_per_step])
        us_per_step = {name: us_per_step[name] + us / len(trials) for name, us in of_trial.items()}
    return {name: round(us, 1) for name, us in us_per_step.items()}


def _us_per_step(trial: TrialConfig, training: TrainingSplit, libraries: Sequence[str]) -> dict[str, float]:
    """What the best epoch took with each library, less those with which a replicate depends on its stack."""
    pair, alone = (dataclasses.replace(trial, seeds=seeds) for seeds in ((0, 1), (1,)))
    loops = {name: StackedLoop(pair, training, products=name) for name in libraries}
    best = dict.fromkeys(libraries, math.inf)
    begun = time.perf_counter()
    for epoch in range(1, _MOST_EPOCHS + 1):
        for name, loop in [*loops.items()]:
            start = time.perf_counter()
            loop.train_epoch(epoch)
            if epoch > 1:
                best[name] = min(best[name], time.perf_counter() - start)
            elif name != "torch" and not _is_equal(loop, StackedLoop(alone, training, products=name)):
                del loops[name]
        if epoch > 1 and time.perf_counter() - begun > _WITHIN_S:
            break
    return {name: 1e6 * best[name] / _NUM_STEPS / len(pair.seeds) for name in loops}


def _is_equal(loop: StackedLoop, alone: StackedLoop) -> bool:
    """Whether the second replicate of a loop, after an epoch, is the one that is trained alone."""
    alone.train_epoch(1)
    return all(torch.equal(loop.state()[name][1], alone.state()[name][0]) for name in ("parameters", *MOMENTS))
