"""Experiments from made-up numbers, written through the real records, for the tests of tables, figures and report."""

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweep.config import AXES, CONFIRMATION, FIRST_RESERVED_SEED, SweepConfig, TrialConfig, read_sweep
from sweep.metrics import TRAIN_TIME
from sweep.records import DatasetRecord, DoneRecord, Experiment, Manifest, ReplicateRecord, Rows
from sweep.storage import LocalStorage, Storage
from sweep.tasks import TASKS

FINGERPRINT = {"processor": "made up", "torch": "0"}
Score = Callable[[Mapping[str, Any], int], float]


def made_up_sweep(**tables: Any) -> SweepConfig:
    """The 27 points with five seeds, changed by the tables of a sweep file."""
    given = {"name": "made_up", "dataset": "digits", "epochs": 3, "seeds": [0, 1, 2, 3, 4], "validation_size": 400}
    return read_sweep(given | tables)


def write_experiment(
    root: Path | Storage,
    score: Score,
    *,
    sweep: SweepConfig | None = None,
    rng: np.random.Generator,
    test_score: Score | None = None,
    test_size: int = 400,
    classes: int = 10,
    input_shape: tuple[int, ...] = (8, 8),
    test_split: tuple[np.ndarray, np.ndarray] | None = None,
    twins: bool = True,
    failed: Collection[str] = (),
    missing: Collection[str] = (),
    diverged: Collection[tuple[str, int]] = (),
    added_seeds: Callable[[Mapping[str, Any]], tuple[int, ...]] = lambda point: (),
    finalists: Sequence[str] = (),
    fresh_seeds: int = 5,
    dataset_sha256: str = "0" * 64,
) -> Experiment:
    """Writes an experiment whose validation (or training) accuracy is exactly what `score` gives.

    Args:
        root: Folder of the experiment, or its storage.
        score: From grid point and seed to the accuracy in [0, 1] that selects.
        sweep: By default `made_up_sweep()`.
        rng: Draws images, labels and which images are wrong.
        test_score: Likewise for the test accuracy, up to whole images; by default 0.005 below `score`.
        test_size: Number of test images.
        classes: Number of classes.
        input_shape: Of a test image.
        test_split: Real images and labels instead of drawn ones.
        twins: Whether sparse cross-entropy has the same numbers as cross-entropy.
        failed: Names of grid points ("deep-relu-hinge") whose trials failed.
        missing: Likewise for those that were not run.
        diverged: Pairs of a grid point's name and a seed.
        added_seeds: From grid point to the seeds of a second trial of it; none for no such trial.
        finalists: Names of the grid points with a confirmation, the selected one first.
        fresh_seeds: How many seeds these have.
        dataset_sha256: Tells data sets apart.
    """
    sweep = sweep or made_up_sweep()
    images, y_true = test_split or (
        rng.integers(0, 256, (test_size, *input_shape), dtype=np.uint8),
        rng.permutation(np.arange(test_size) % classes),
    )
    trials = sweep.trials(dataset_sha256=dataset_sha256, engine="reference")
    more = [(trial, added_seeds(named(trial))) for trial in trials]
    trials += [dataclasses.replace(trial, trial_id="", seeds=seeds) for trial, seeds in more if seeds]
    fresh = tuple(range(FIRST_RESERVED_SEED, FIRST_RESERVED_SEED + fresh_seeds))
    by_name = {f"{trial.depth}-{trial.activation}-{trial.loss}": trial for trial in trials}
    trials += [dataclasses.replace(by_name[name], trial_id="", seeds=fresh, role=CONFIRMATION) for name in finalists]
    manifest = Manifest(
        name=root.name,
        sweep=sweep,
        task="classification",
        metrics=TASKS["classification"].METRICS,
        trials=tuple(trials),
        dataset=DatasetRecord(
            name=sweep.dataset,
            sha256=dataset_sha256,
            target_names=tuple(str(label) for label in range(classes)),
            input_shape=images.shape[1:],
            train_size=1000,
            validation_size=sweep.validation_size,
            test_size=len(y_true),
        ),
        commands=(f"sweep run {sweep.name}",),
        created="2025-01-01T00:00:00+00:00",
        versions={"python": "3.11", "sweep": "0", "torch": "0", "ray": "0", "numpy": "0"},
        fingerprint=FINGERPRINT,
        hardware={"processor": "made up", "cores": 2, "memory_gb": 4.0, "gpus": []},
        commit="0123456789abcdef",
    )
    experiment = Experiment(LocalStorage(root) if isinstance(root, Path) else root)
    experiment.write_manifest(manifest)
    experiment.write_test_split(images=images, y_true=y_true)
    experiment.log_event("run_started", command=manifest.commands[0], host="somewhere", pid=1)
    difficulty, confused_with = rng.random(len(y_true)) ** 4, (y_true + 1 + rng.integers(0, 3, len(y_true))) % classes
    test_score = test_score or (lambda point, seed: score(point, seed) - 0.005)
    for trial in trials:
        name = "-".join([trial.depth, trial.activation, trial.loss])
        if name in missing:
            continue
        if name in failed:
            experiment.write_error(trial.trial_id, "Traceback\nRuntimeError: made to fail")
            continue
        point = named(trial)
        if twins and point["loss"] == "sparse_cross_entropy":
            point["loss"] = "cross_entropy"
        y_pred = np.stack(
            [
                _wrong(y_true, test_score(point, seed), difficulty, confused_with, _generator(point, seed, trial))
                for seed in trial.seeds
            ]
        )
        lost = [(name, seed) in diverged for seed in trial.seeds]
        _write_trial(experiment, trial, sweep, point, score, y_true, y_pred, classes, lost)
    experiment.log_event("run_finished", outcome="complete", wall_time_s=12.5, trials_done=len(trials))
    return experiment


def named(trial: TrialConfig) -> dict[str, Any]:
    """The grid point of a trial: the value of every axis by its name."""
    return dict(zip(AXES, trial.point, strict=True))


def _generator(point: Mapping[str, Any], seed: int, trial: TrialConfig) -> np.random.Generator:
    digest = hashlib.sha256(repr((sorted(point.items()), seed, trial.dataset)).encode()).digest()
    return np.random.default_rng(list(digest[:8]))


def _wrong(
    y_true: np.ndarray,
    share: float,
    difficulty: np.ndarray,
    confused_with: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Predictions of which a share is right: the easier images, mostly."""
    wrong = len(y_true) - round(share * len(y_true))
    hardest = np.argsort(difficulty + 0.1 * rng.random(len(y_true)), kind="stable")[len(y_true) - wrong :]
    y_pred = y_true.copy()
    y_pred[hardest] = confused_with[hardest]
    return y_pred


def _write_trial(
    experiment: Experiment,
    trial: TrialConfig,
    sweep: SweepConfig,
    point: Mapping[str, Any],
    score: Score,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    classes: int,
    lost: list[bool],
) -> None:
    task = TASKS["classification"]
    logits = np.eye(classes, dtype=np.float32)[y_pred]
    nothing = np.zeros((len(y_pred), 0, classes), dtype=np.float32)
    arrays = task.predictions({"test": logits, "validation": nothing}, {"test": y_true, "validation": y_true[:0]})
    tested = task.scores(arrays, "test")
    tested |= {"loss": [1 - value for value in tested["accuracy"]]}
    selecting = [float("nan") if gone else score(point, seed) for gone, seed in zip(lost, trial.seeds, strict=True)]
    losses, none = [1 - value for value in selecting], [float("nan")] * len(selecting)
    by_validation = sweep.selection.startswith("validation")
    final = {
        ("train", "loss"): losses,
        ("train", "accuracy"): [value + 0.01 for value in selecting] if by_validation else selecting,
        ("validation", "loss"): losses if by_validation else none,
        ("validation", "accuracy"): selecting if by_validation else none,
    }
    steps = [1 - 0.5 ** (epoch + 1) for epoch in range(sweep.epochs - 1)] + [1.0]
    rows = [
        Rows(
            split=split,
            metric=metric,
            epochs=tuple(range(1, sweep.epochs + 1)),
            values=[[value * (0.9 + 0.1 * step) for value in values] for step in steps],
        )
        for (split, metric), values in final.items()
    ]
    times = [sum(trial.layers) / 100 + 0.01 * seed for seed in trial.seeds]
    once = {("test", metric): values for metric, values in tested.items()} | {("train", TRAIN_TIME.name): times}
    rows += [
        Rows(split=split, metric=metric, epochs=(sweep.epochs,), values=[values])
        for (split, metric), values in once.items()
    ]
    digest = experiment.write_predictions(trial.trial_id, arrays)
    experiment.write_done(
        DoneRecord(
            trial_id=trial.trial_id,
            replicates=tuple(
                ReplicateRecord(
                    seed=seed,
                    diverged=gone,
                    parameters_sha256=hashlib.sha256(repr((sorted(point.items()), seed)).encode()).hexdigest(),
                )
                for gone, seed in zip(lost, trial.seeds, strict=True)
            ),
            rows=tuple(rows),
            files={"predictions.npz": digest},
            fingerprints=((1, FINGERPRINT),),
            finished="2025-01-01T00:00:10+00:00",
        )
    )
    experiment.log_event("trial_done", trial_id=trial.trial_id, train_time_s=1.0)
