"""Records as data frames: one row per replicate, per epoch, per configuration."""

from typing import Any

import numpy as np
import pandas as pd

from sweep.config import TrialConfig, value_name
from sweep.records import HISTORY_METRICS, State
from sweep.tables.points import read_grid

RESULT_SCORES = (
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "precision",
    "recall",
    "f1",
    "train_time_s",
)


def results_table(records: State) -> pd.DataFrame:
    """One row per finished replicate, as in `results.csv`.

    Columns: trial_id, the axes, seed, `RESULT_SCORES`; scores in [0, 1], precision, recall and F1 macro-averaged.
    """
    axes = list(records.manifest.axes)
    rows = []
    for trial in records.manifest.compared:
        identity = _identity(trial, axes)
        record = records.done.get(identity["trial_id"])
        for replicate in record.replicates if record else ():
            scores = {score: getattr(replicate, score) for score in RESULT_SCORES}
            rows.append({**identity, "seed": replicate.seed, **scores})
    return pd.DataFrame(rows, columns=["trial_id", *axes, "seed", *RESULT_SCORES])


def history_table(records: State) -> pd.DataFrame:
    """One row per epoch of a finished replicate, as in `history.csv`.

    Columns: trial_id, the axes, seed, epoch (from 1), then the four metrics of the history.
    """
    axes = list(records.manifest.axes)
    names = ["trial_id", *axes, "seed", "epoch", *HISTORY_METRICS]
    parts: dict[str, list[Any]] = {name: [] for name in names}
    for trial in records.manifest.compared:
        identity = _identity(trial, axes)
        record = records.done.get(identity["trial_id"])
        if record is None:
            continue
        epochs = len(record.history[HISTORY_METRICS[0]])
        seeds = [replicate.seed for replicate in record.replicates]
        for name, value in identity.items():
            parts[name] += [value] * (epochs * len(seeds))
        parts["seed"] += [seed for seed in seeds for _ in range(epochs)]
        parts["epoch"] += [*range(1, epochs + 1)] * len(seeds)
        for metric in HISTORY_METRICS:
            parts[metric] += np.asarray(record.history[metric], dtype=np.float64).T.ravel().tolist()
    return pd.DataFrame(parts, columns=names)


def summary_table(records: State) -> pd.DataFrame:
    """One row per configuration, the largest mean of the selection score first; twins share a row, equal means a rank.

    Columns: rank, the axes, n (seeds), mean and standard deviation over the seeds of the selection score, mean test
    accuracy and mean training time in seconds per replicate; accuracies in percent. Grid points that diverged or
    cannot be compared follow with rank NA and what there is of them.
    """
    grid = read_grid(records)
    criterion = grid.criterion
    means = {id(one): mean for one, mean in zip(grid.configurations, grid.means(criterion), strict=True)}
    tested = {id(one): mean for one, mean in zip(grid.configurations, grid.means("test_accuracy"), strict=True)}
    rows: list[dict[str, Any]] = []
    for rank, configuration in grid.ranked():
        scores = configuration.scores(criterion)
        n = int(np.isfinite(scores).sum())
        rows.append(
            {
                "rank": rank,
                **configuration.cells,
                "n": n,
                f"{criterion}_mean": 100 * means[id(configuration)],
                f"{criterion}_sd": 100 * np.nanstd(scores, ddof=1) if n > 1 else np.nan,
                "test_accuracy_mean": 100 * tested[id(configuration)],
                "train_time_s": configuration.mean("train_time_s"),
            }
        )
    lost = [(one.point, f"diverged in {one.count} of {one.n} seeds") for one in grid.diverged]
    for point, reason in [*lost, *grid.left_out]:
        values = dict(zip(grid.axes, map(value_name, point.values), strict=True))
        rows.append({"rank": pd.NA, **values, "n": len(point.replicates), "note": reason})
    names = ["rank", *grid.axes, "n", f"{criterion}_mean", f"{criterion}_sd", "test_accuracy_mean", "train_time_s"]
    table = pd.DataFrame(rows, columns=[*names, "note"] if lost or grid.left_out else names)
    return table.astype({"rank": "Int64", "n": "Int64"})


def _identity(trial: TrialConfig, axes: list[str]) -> dict[str, Any]:
    return {"trial_id": trial.trial_id, **{axis: trial.point[axis] for axis in axes}}
