"""Records of format 2, which sweep 0.1.0 wrote, in the form of today's: the only place that knows of an old format.

They knew one task, classification of images; a field for every score, and a history beside them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sweep.config import AXES
from sweep.metrics import TRAIN_TIME
from sweep.records.contents import DoneRecord
from sweep.tasks import DEFAULT_TASK, TASKS

_DATASET = {"class_names": "target_names", "class_counts": "target_counts", "image_shape": "input_shape"}
_HISTORY = {
    "train_loss": ("train", "loss"),
    "train_accuracy": ("train", "accuracy"),
    "validation_loss": ("validation", "loss"),
    "validation_accuracy": ("validation", "accuracy"),
}
_FINAL = {
    "test_loss": ("test", "loss"),
    "test_accuracy": ("test", "accuracy"),
    "precision": ("test", "precision"),
    "recall": ("test", "recall"),
    "f1": ("test", "f1"),
    "precision_weighted": ("test", "precision_weighted"),
    "recall_weighted": ("test", "recall_weighted"),
    "f1_weighted": ("test", "f1_weighted"),
    "train_time_s": ("train", TRAIN_TIME.name),
}
_AVERAGES = ("precision", "recall", "f1")


def manifest_of_2(fields: dict[str, Any]) -> dict[str, Any]:
    """Gives the fields of a manifest.

    Raises:
        KeyError: as for whatever else is no manifest of format 2; see `sweep.records.codec.decode`.
    """
    sweep = fields["sweep"]
    points = {key: sweep[key] for key in ("compare", "baseline") if key in sweep}
    if isinstance(points.get("compare"), list):
        points["compare"] = [[_point(one) for one in pair] for pair in points["compare"]]
    if "baseline" in points:
        points["baseline"] = _point(points["baseline"])
    axes = [
        {"name": axis, "values": [_value(axis, value) for value in values], "scale": AXES[axis]}
        for axis, values in _in_order(sweep["axes"])
    ]
    return {
        **fields,
        "sweep": {**sweep, "axes": axes, **points},
        "dataset": {_DATASET.get(name, name): value for name, value in fields["dataset"].items()},
        "task": DEFAULT_TASK,
        "metrics": [vars(metric) | {"splits": [*metric.splits]} for metric in TASKS[DEFAULT_TASK].METRICS],
    }


def done_of_2(fields: dict[str, Any]) -> dict[str, Any]:
    """Gives the fields of a done record.

    Raises:
        KeyError: as for whatever else is no done record of format 2; see `sweep.records.codec.decode`.
    """
    history, replicates = fields["history"], fields["replicates"]
    epochs = len(history["train_loss"])
    rows = [
        {"split": split, "metric": metric, "epochs": [*range(1, epochs + 1)], "values": history[name]}
        for name, (split, metric) in _HISTORY.items()
    ]
    rows += [
        {"split": split, "metric": metric, "epochs": [epochs], "values": [[one[name] for one in replicates]]}
        for name, (split, metric) in _FINAL.items()
    ]
    return {**fields, "rows": rows}


def rows_of_2(history: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Gives the history of a checkpoint as (split, metric, values)."""
    return [(*_HISTORY[name], values) for name, values in history.items()]


def _point(values: Mapping[str, Any]) -> list[Any]:
    return [_value(axis, value) for axis, value in _in_order(values)]


def _in_order(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if table.keys() != AXES.keys():
        raise KeyError("axes")
    return [(axis, table[axis]) for axis in AXES]


def _value(axis: str, value: Any) -> Any:
    """A value in the type of its axis, where it is a number: 1 is 1.0 to a learning rate."""
    return float(value) if AXES[axis] == "log" and type(value) is int else value


def averaged_of_2(record: DoneRecord, scores: Mapping[str, list[float]]) -> DoneRecord:
    """Gives a done record with the macro averages of its scores computed anew."""
    rows = [
        dataclasses.replace(one, values=[scores[one.metric]])
        if one.split == "test" and one.metric in _AVERAGES
        else one
        for one in record.rows
    ]
    return dataclasses.replace(record, rows=tuple(rows))
