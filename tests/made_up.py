"""Experiments from made-up numbers, written through the real records, for the tests of tables, figures and report."""

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweep.config import CONFIRMATION, FIRST_RESERVED_SEED, SweepConfig, TrialConfig
from sweep.metrics import accuracy, class_scores, confusion_matrix
from sweep.records import DatasetRecord, DoneRecord, Experiment, Manifest, Predictions, ReplicateRecord
from sweep.storage import LocalStorage, Storage

FINGERPRINT = {"processor": "made up", "torch": "0"}
Score = Callable[[Mapping[str, Any], int], float]


def made_up_sweep(**tables: Any) -> SweepConfig:
    """The 27 points with five seeds, changed by the tables of a sweep file."""
    given = {"name": "made_up", "dataset": "digits", "epochs": 3, "seeds": [0, 1, 2, 3, 4], "validation_size": 400}
    return SweepConfig.from_json(given | tables)


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
    more = [(trial, added_seeds(trial.point)) for trial in trials]
    trials += [dataclasses.replace(trial, trial_id="", seeds=seeds) for trial, seeds in more if seeds]
    fresh = tuple(range(FIRST_RESERVED_SEED, FIRST_RESERVED_SEED + fresh_seeds))
    by_name = {f"{trial.depth}-{trial.activation}-{trial.loss}": trial for trial in trials}
    trials += [dataclasses.replace(by_name[name], trial_id="", seeds=fresh, role=CONFIRMATION) for name in finalists]
    manifest = Manifest(
        name=root.name,
        sweep=sweep,
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
        point = trial.point
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
    confusion = np.stack([confusion_matrix(y_true, row, classes) for row in y_pred])
    replicates = []
    for row, seed in enumerate(trial.seeds):
        macro, weighted = class_scores(confusion[row]).macro(), class_scores(confusion[row]).weighted()
        selecting = float("nan") if lost[row] else score(point, seed)
        by_validation = sweep.selection == "validation_accuracy"
        replicates.append(
            ReplicateRecord(
                seed=seed,
                diverged=lost[row],
                train_loss=1 - selecting,
                train_accuracy=selecting + 0.01 if by_validation else selecting,
                validation_loss=1 - selecting if by_validation else float("nan"),
                validation_accuracy=selecting if by_validation else float("nan"),
                test_loss=1 - accuracy(confusion[row]),
                test_accuracy=accuracy(confusion[row]),
                precision=macro[0],
                recall=macro[1],
                f1=macro[2],
                precision_weighted=weighted[0],
                recall_weighted=weighted[1],
                f1_weighted=weighted[2],
                train_time_s=sum(trial.layers) / 100 + 0.01 * seed,
                parameters_sha256=hashlib.sha256(repr((sorted(point.items()), seed)).encode()).hexdigest(),
            )
        )
    final = {metric: [getattr(replicate, metric) for replicate in replicates] for metric in _METRICS}
    steps = [1 - 0.5 ** (epoch + 1) for epoch in range(sweep.epochs - 1)] + [1.0]
    history = {
        metric: [[value * (0.9 + 0.1 * step) for value in final[metric]] for step in steps] for metric in _METRICS
    }
    logits = np.eye(classes, dtype=np.float16)[y_pred]
    digest = experiment.write_predictions(
        trial.trial_id,
        Predictions(
            test_logits=logits,
            y_pred=y_pred,
            test_confusion=confusion,
            validation_confusion=np.zeros_like(confusion),
        ),
    )
    experiment.write_done(
        DoneRecord(
            trial_id=trial.trial_id,
            replicates=tuple(replicates),
            history=history,
            files={"predictions.npz": digest},
            fingerprints=((1, FINGERPRINT),),
            finished="2025-01-01T00:00:10+00:00",
        )
    )
    experiment.log_event("trial_done", trial_id=trial.trial_id, train_time_s=1.0)


_METRICS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
