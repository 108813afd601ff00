"""Records as earlier versions wrote them, in the form of today's: the only place that knows of an old format.

2    sweep 0.1.0: the data set's record speaks of images and classes
"""

from collections.abc import Callable, Mapping
from typing import Any

_DATASET = {"class_names": "target_names", "class_counts": "target_counts", "image_shape": "input_shape"}


def manifest_of_2(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the fields of a manifest of format 2; what is no table is left for the reader to refuse."""
    dataset = fields.get("dataset")
    if not isinstance(dataset, dict):
        return dict(fields)
    return {**fields, "dataset": {_DATASET.get(name, name): value for name, value in dataset.items()}}


def unchanged(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the fields as they are."""
    return dict(fields)


Translation = Callable[[Mapping[str, Any]], dict[str, Any]]
