"""Makes and extends manifests: what a sweep means on this data and these workers.

Imports neither torch nor ray at the top, so that a dry run and a refusal are quick.
"""

import dataclasses
import itertools
import math
import subprocess
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.axes import Point
from sweep.config import CONFIRMATION, FIRST_RESERVED_SEED, SweepConfig, TrialConfig, differences
from sweep.datasets import Dataset
from sweep.errors import ConfigError, ExperimentError
from sweep.machine import hardware, versions
from sweep.pieces import LOOPS, WITH_PRODUCTS, load
from sweep.records import DatasetRecord, Manifest, utc_now
from sweep.tasks import DEFAULT_TASK, TASKS


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a worker must know to choose its library of products.

    Attributes:
        trials: What is to be trained; none if nothing is to be chosen.
        num_samples: Of the training split.
        num_inputs: Of a sample, flattened.
        products: One of `sweep.pieces.PRODUCTS`; "auto" for the fastest on those trials.
    """

    trials: Sequence[TrialConfig] = ()
    num_samples: int = 0
    num_inputs: int = 0
    num_classes: int = 0
    products: str = "torch"

    @property
    def sizes(self) -> tuple[Sequence[TrialConfig], int, int, int]:
        """All but the library."""
        return self.trials, self.num_samples, self.num_inputs, self.num_classes


ANY_WORK = Work()


@dataclass(frozen=True, kw_only=True)
class Worker:
    """What the numbers of a trial depend on beside its configuration.

    Attributes:
        fingerprint: Torch build, CPU capability, number of threads, device; the library of products if not torch's.
        unfit: The loops that cannot be used there, each with the reason.
        us_per_step: Microseconds per step of a model that were reached with each library of products.
        products_refused: Why the library that was asked for cannot be used there, "" if it can.
    """

    fingerprint: Mapping[str, Any]
    unfit: Mapping[str, str] = field(default_factory=dict)
    us_per_step: Mapping[str, float] = field(default_factory=dict)
    products_refused: str = ""

    def refuses(self, engine: str, trial: TrialConfig) -> str:
        """Gives the reason why a loop cannot train a trial there, "" if it can."""
        return self.unfit.get(engine, "") or str(load(LOOPS[engine]).refuses(trial))

    def reasons(self, trials: Sequence[TrialConfig]) -> dict[str, str]:
        """Gives the loops that cannot train all of some trials there, each with the first reason."""
        found = ((engine, self.refuses(engine, trial)) for trial in reversed(trials) for engine in LOOPS)
        return {engine: reason for engine, reason in found if reason}

    def assign(self, asked: str, trial: TrialConfig, *, begun_with: Collection[str] = ()) -> TrialConfig:
        """Gives the trial with the loop of a name, or with "auto" the first that takes it, those begun with preferred.

        Raises:
            ConfigError: if the one that is asked for refuses.
        """
        preferred = sorted(LOOPS, key=lambda name: name not in begun_with) if asked == "auto" else [asked]
        reasons = []
        for engine in preferred:
            if not (reason := self.refuses(engine, trial)):
                return dataclasses.replace(trial, trial_id="", engine=engine)
            reasons.append(reason)
        raise ConfigError(f"engine={asked} cannot be used: {'; '.join(reasons)}; use engine=reference or engine=auto")


ANY_WORKER = Worker(fingerprint={})


def work_of(sweep: SweepConfig, manifest: Manifest | None, dataset: DatasetRecord) -> Work:
    """Gives what a worker must know of a sweep, or of an experiment that exists: its library stays."""
    if manifest:
        return Work(products=manifest.products)
    return Work(
        trials=sweep.trials(dataset_sha256="") if sweep.engine in ("auto", *WITH_PRODUCTS) else (),
        num_samples=dataset.train_size,
        num_inputs=math.prod(dataset.input_shape),
        num_classes=len(dataset.target_names),
        products=sweep.products,
    )


def make_manifest(
    sweep: SweepConfig, dataset: Dataset, *, name: str, command: str, worker: Worker = ANY_WORKER
) -> Manifest:
    """Gives the manifest of a new experiment; without a worker for one that refuses nothing.

    Raises:
        ConfigError: if the engine or the products that the sweep asks for by name cannot train it.
    """
    refused = worker.products_refused
    if sweep.engine not in ("auto", *WITH_PRODUCTS) and sweep.products not in ("auto", "torch"):
        refused = f"engine={sweep.engine} multiplies with torch"
    if refused:
        raise ConfigError(f"products={sweep.products} cannot be used: {refused}; use products=torch or products=auto")
    trials = [worker.assign(sweep.engine, trial) for trial in sweep.trials(dataset_sha256=dataset.sha256)]
    return Manifest(
        name=name,
        sweep=dataclasses.replace(sweep, folder=None),
        task=DEFAULT_TASK,
        metrics=TASKS[DEFAULT_TASK].METRICS,
        trials=_distinct(trials),
        dataset=dataset.record,
        commands=(command,),
        created=utc_now(),
        versions=versions(),
        fingerprint=worker.fingerprint,
        us_per_step=worker.us_per_step,
        hardware=hardware(),
        commit=_commit(),
    )


def check_same_sweep(manifest: Manifest, sweep: SweepConfig) -> None:
    """Checks that a sweep is the one an experiment was made for.

    Raises:
        ExperimentError: with the differences and what to do.
    """
    if lines := differences(manifest.sweep, sweep):
        raise ExperimentError(
            f"experiment {manifest.name!r} exists and is another sweep ({'; '.join(lines)}); "
            "give this one a --name of its own, or add seeds and axis values with --extend"
        )
    _check_same_products(manifest, sweep)


def extend_manifest(manifest: Manifest, sweep: SweepConfig, *, command: str) -> Manifest:
    """Gives the manifest with the trials that a larger sweep adds; nothing changes or leaves.

    New seeds of a grid point are a further trial of that point, so that every finished replicate is kept. The trials
    of a confirmation stay as they are, and what the sweep covers is not asked of them.

    Raises:
        ExperimentError: if the sweep leaves out or changes anything.
    """
    old, union = manifest.sweep, _union(manifest.sweep, sweep)
    if lines := differences(union, sweep):
        raise ExperimentError(
            f"--extend can add seeds and axis values to {manifest.name!r}, but not remove or change any "
            f"({'; '.join(line.replace('in the experiment', 'would be needed') for line in lines)})"
        )
    _check_same_products(manifest, sweep)
    if not differences(old, union):
        return manifest
    covered: dict[Point, set[int]] = {}
    for trial in manifest.compared:
        covered.setdefault(trial.point, set()).update(trial.seeds)
    added = []
    begun_with = {trial.engine for trial in manifest.trials}
    for trial in union.trials(dataset_sha256=manifest.dataset.sha256):
        seeds = tuple(seed for seed in trial.seeds if seed not in covered.get(trial.point, ()))
        if seeds:
            more = dataclasses.replace(trial, seeds=seeds)
            added.append(ANY_WORKER.assign(union.engine, more, begun_with=begun_with))
    return dataclasses.replace(
        manifest,
        sweep=union,
        trials=_distinct([*manifest.trials, *added]),
        commands=(*manifest.commands, command),
    )


def confirm_manifest(manifest: Manifest, points: Sequence[Point], num_seeds: int, *, command: str) -> Manifest:
    """Gives the manifest with a trial of fresh seeds, the same ones, for each finalist, the best first.

    Raises:
        ExperimentError: if a finalist is no grid point of the experiment.
    """
    # Users cannot ask for a seed of this range; a manifest may come from a version that let them.
    used = {seed for trial in manifest.trials for seed in trial.seeds}
    fresh = (seed for seed in itertools.count(FIRST_RESERVED_SEED) if seed not in used)
    seeds = tuple(itertools.islice(fresh, num_seeds))
    trials = {trial.point: trial for trial in manifest.compared}
    if any(point not in trials for point in points):
        raise ExperimentError(f"a finalist is no grid point of {manifest.name!r}; run: sweep verify {manifest.name}")
    added = [dataclasses.replace(trials[point], trial_id="", seeds=seeds, role=CONFIRMATION) for point in points]
    return dataclasses.replace(
        manifest, trials=_distinct([*manifest.trials, *added]), commands=(*manifest.commands, command)
    )


def check_same_confirmation(manifest: Manifest, *, count: int | None, num_seeds: int | None) -> None:
    """Checks that an experiment's confirmation is the one that is asked for; None asks for whatever it is.

    Raises:
        ExperimentError: if it has another number of finalists or seeds.
    """
    trials = manifest.confirmations
    has = {"--count": len(trials), "--seeds": len(trials[0].seeds)}
    for option, asked in (("--count", count), ("--seeds", num_seeds)):
        if asked not in (None, has[option]):
            raise ExperimentError(
                f"{manifest.name!r} has a confirmation with {option} {has[option]}, not {asked}: finalists and their "
                f"seeds are fixed before they are trained; leave {option} out to go on with it or to report it again"
            )


def _check_same_products(manifest: Manifest, sweep: SweepConfig) -> None:
    if sweep.products not in ("auto", manifest.products):
        raise ExperimentError(
            f"experiment {manifest.name!r} was begun with products={manifest.products}, not {sweep.products}; "
            "leave it out to go on with it, or give this sweep a --name of its own"
        )


def _distinct(trials: Sequence[TrialConfig]) -> tuple[TrialConfig, ...]:
    # Folders are called after them, also on file systems that do not tell small letters from capital ones.
    (trial_id, count) = Counter(trial.trial_id.lower() for trial in trials).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"two trials would have the id {trial_id}; give their depths other names")
    return tuple(trials)


def _union(old: SweepConfig, new: SweepConfig) -> SweepConfig:
    axes = tuple(asked.merged(axis.values) for axis, asked in zip(old.axes, new.axes, strict=True))
    layers = {**new.layers, **old.layers}
    return dataclasses.replace(
        old,
        axes=axes,
        seeds=tuple(dict.fromkeys((*new.seeds, *old.seeds))),
        layers={depth: layers[depth] for depth in axes[0].values if depth in layers},
        resources=new.resources,
    )


def _commit() -> str:
    source = Path(__file__).resolve().parent.parent
    if not (source / ".git").exists():
        return ""
    try:
        answers = [
            subprocess.run(["git", "-C", str(source), *words], capture_output=True, text=True, timeout=10).stdout
            # What lies beside the package, an older report for one, decides no number.
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no", "--", "sweep"])
        ]
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answers[0].strip() + ("+changes" if answers[1] else "")
