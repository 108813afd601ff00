"""Makes and extends manifests: what a sweep means on this data and these workers.

Imports neither torch nor ray at the top, so that a dry run and a refusal are quick.
"""

import dataclasses
import importlib.metadata
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import sweep as package
from sweep.config import SweepConfig, TrialConfig, differences
from sweep.datasets import Dataset
from sweep.errors import ConfigError, ExperimentError
from sweep.records import DatasetRecord, Manifest, utc_now

_REPORTED_VERSIONS = ("torch", "torchvision", "ray", "numpy", "scikit-learn", "scipy")


@dataclass(frozen=True, kw_only=True)
class Worker:
    """What the numbers of a trial depend on beside its configuration.

    Attributes:
        fingerprint: Torch build, CPU capability, number of threads, device.
        not_stacked: The reason why the stacked engine cannot be used there, None if it can.
    """

    fingerprint: Mapping[str, Any]
    not_stacked: str | None

    def choose_engine(self, asked: str) -> str:
        """Gives the engine that `asked` (auto, reference or stacked) stands for.

        Raises:
            ConfigError: if stacked is asked for by name and does not apply.
        """
        if asked == "stacked" and self.not_stacked:
            raise ConfigError(f"engine=stacked cannot be used: {self.not_stacked}; use engine=reference or engine=auto")
        return ("reference" if self.not_stacked else "stacked") if asked == "auto" else asked


def make_manifest(
    sweep: SweepConfig, dataset: Dataset, *, name: str, command: str, engine: str, fingerprint: Mapping[str, Any]
) -> Manifest:
    """Gives the manifest of a new experiment.

    Args:
        sweep: What to compare.
        dataset: As loaded for it.
        name: Of the experiment.
        command: The command line, for the report.
        engine: What `sweep.engine` stands for on this machine.
        fingerprint: Of a worker on this machine.
    """
    return Manifest(
        name=name,
        sweep=sweep,
        trials=_distinct(sweep.trials(dataset_sha256=dataset.sha256, engine=engine)),
        dataset=DatasetRecord(
            name=dataset.name,
            sha256=dataset.sha256,
            class_names=dataset.class_names,
            image_shape=dataset.image_shape,
            train_size=len(dataset.train.labels),
            validation_size=len(dataset.validation.labels),
            test_size=len(dataset.test.labels),
        ),
        commands=(command,),
        created=utc_now(),
        versions=versions(),
        fingerprint=fingerprint,
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


def extend_manifest(manifest: Manifest, sweep: SweepConfig, *, command: str) -> Manifest:
    """Gives the manifest with the trials that a larger sweep adds; nothing changes or leaves.

    New seeds of a grid point are a further trial of that point, so that every finished replicate is kept.

    Raises:
        ExperimentError: if the sweep leaves out or changes anything.
    """
    old, union = manifest.sweep, _union(manifest.sweep, sweep)
    if lines := differences(union, sweep):
        raise ExperimentError(
            f"--extend can add seeds and axis values to {manifest.name!r}, but not remove or change any "
            f"({'; '.join(line.replace('in the experiment', 'would be needed') for line in lines)})"
        )
    if not differences(old, union):
        return manifest
    covered: dict[tuple[Any, ...], set[int]] = {}
    for trial in manifest.trials:
        covered.setdefault(tuple(trial.point.values()), set()).update(trial.seeds)
    added = []
    for trial in union.trials(dataset_sha256=manifest.dataset.sha256, engine=manifest.trials[0].engine):
        known = covered.get(tuple(trial.point.values()), set())
        seeds = tuple(seed for seed in trial.seeds if seed not in known)
        if seeds:
            added.append(dataclasses.replace(trial, trial_id="", seeds=seeds))
    return dataclasses.replace(
        manifest,
        sweep=union,
        trials=_distinct([*manifest.trials, *added]),
        commands=(*manifest.commands, command),
    )


def disk_estimate_gb(trials: Sequence[TrialConfig], *, num_parameters: Sequence[int], dataset: DatasetRecord) -> float:
    """Gives an upper estimate of what the trials' files take, in GB (10^9 bytes).

    Args:
        trials: All trials.
        num_parameters: Of one replicate of each.
        dataset: For the number of test images and classes.
    """
    total = 0
    for trial, parameters in zip(trials, num_parameters, strict=True):
        checkpoints = 2 * 3 * 4 * parameters  # two of them, with Adam's two moments, float32
        predictions = dataset.test_size * (2 * len(dataset.class_names) + 1)
        total += len(trial.seeds) * (checkpoints + predictions + 200 * trial.epochs)
    return total / 1e9


def versions() -> dict[str, str]:
    """Versions of what the numbers may depend on."""
    return {
        "python": platform.python_version(),
        "sweep": package.__version__,
        **{name: importlib.metadata.version(name) for name in _REPORTED_VERSIONS},
    }


def hardware() -> dict[str, Any]:
    """This machine, for people to read."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.system(),
    }


def _distinct(trials: Sequence[TrialConfig]) -> tuple[TrialConfig, ...]:
    # Folders are called after them, also on file systems that do not tell small letters from capital ones.
    (trial_id, count) = Counter(trial.trial_id.lower() for trial in trials).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"two trials would have the id {trial_id}; give their depths other names")
    return tuple(trials)


def _union(old: SweepConfig, new: SweepConfig) -> SweepConfig:
    new_axes = dict(new.axes)
    axes = tuple((name, _merged(new_axes[name], values)) for name, values in old.axes)
    layers = dict(new.layers) | dict(old.layers)
    return dataclasses.replace(
        old,
        axes=axes,
        seeds=_merged(new.seeds, old.seeds),
        layers=tuple((depth, layers[depth]) for depth in dict(axes)["depth"] if depth in layers),
        resources=new.resources,
    )


def _merged(new: Sequence[Any], old: Sequence[Any]) -> tuple[Any, ...]:
    return (*new, *(value for value in old if value not in new))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


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
