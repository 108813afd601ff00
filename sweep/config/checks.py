"""Checks every value that a user gives, once; each mistake is one line that says what is allowed."""

import dataclasses
import math
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sweep.config.naming import check_baseline, check_compare
from sweep.config.trial import AXES, FIRST_RESERVED_SEED, HIDDEN_LAYERS, Resources, TrialConfig
from sweep.errors import ConfigError, shown, unknown
from sweep.pieces import ACTIVATIONS, LOOPS, LOSSES

DATASETS = ("digits", "fashion_mnist", "kmnist", "mnist")
SELECTIONS = ("validation_accuracy", "train_accuracy")

TOP_LEVEL_KEYS = ("name", "dataset", "epochs", "seeds", "validation_size", "selection", "engine", "protocol")
# Name grid points; in a sweep file alone, which is there before any training.
NAMING_KEYS = ("compare", "baseline")
NUMBER_KEYS = ("epochs", "validation_size")
RESOURCE_KEYS = tuple(f.name for f in dataclasses.fields(Resources))
# The grid of a sweep file that names no values: the same whatever else can be named.
_DEFAULT_AXES: dict[str, list[Any]] = {
    "depth": list(HIDDEN_LAYERS),
    "activation": ["relu", "sigmoid", "tanh"],
    "loss": ["cross_entropy", "sparse_cross_entropy", "hinge"],
    "learning_rate": [0.001],
    "batch_size": [64],
}
# What fits into an integer of every library behind this.
_LARGEST = 2**63 - 1
_MOST_POINTS = 100_000


def check_tables(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the fields of a `SweepConfig` from the tables of a sweep file.

    Raises:
        ConfigError: for an unknown key, a wrong type or a value that is not allowed.
    """
    allowed = [*TOP_LEVEL_KEYS, *NAMING_KEYS, "axes", "layers", "resources"]
    for key in tables:
        if key not in allowed:
            hint = " under [axes]" if key in AXES else " under [resources]" if key in RESOURCE_KEYS else ""
            if hint:
                raise ConfigError(f"{key!r} belongs{hint} in a sweep file")
            raise ConfigError(unknown("key", key, allowed))
    for key in ("axes", "layers", "resources"):
        if not isinstance(tables.get(key, {}), Mapping):
            raise ConfigError(f"{key} must be a table of a sweep file, got {shown(tables[key])}")
    layers = _check_layers(tables.get("layers", {}))
    axes = _check_axes(tables.get("axes", {}), layers)
    fields = {
        "name": _text(tables, "name", "sweep"),
        "dataset": _check_dataset(_text(tables, "dataset", "mnist")),
        "axes": axes,
        "layers": tuple((name, layers[name]) for name in dict(axes)["depth"]),
        "epochs": _whole(tables, "epochs", 10, at_least=1),
        "seeds": _check_seeds(tables.get("seeds", [0, 1, 2])),
        "validation_size": _whole(tables, "validation_size", 5000, at_least=0),
        "selection": _choice(tables, "selection", "validation_accuracy", SELECTIONS),
        "engine": _choice(tables, "engine", "auto", ("auto", *sorted(LOOPS))),
        "protocol": _choice(tables, "protocol", "", ("", "published")),
        "resources": _check_resources(tables.get("resources", {})),
        "compare": check_compare(tables.get("compare", []), axes),
        "baseline": check_baseline(tables["baseline"], axes) if "baseline" in tables else (),
    }
    if fields["selection"] == "validation_accuracy" and fields["validation_size"] == 0:
        raise ConfigError(
            "selection=validation_accuracy needs validation images; set validation_size above 0, "
            "or selection=train_accuracy"
        )
    return fields


def check_experiment_name(name: str) -> str:
    """Gives `name` back if it can be the name of a new experiment's folder.

    Raises:
        ConfigError: if it is empty or too long, starts with a dot or a dash, or has a character that is not allowed.
    """
    if not _is_experiment_name(name):
        plain = re.sub(r"[^\w+-]+", "-", name).strip("-_")[:40]
        raise ConfigError(
            f"{shown(name)} cannot be an experiment's name; use up to 100 letters, digits, '-', '_', '.' and '+', "
            f"starting with a letter or digit, such as --name {plain if _is_experiment_name(plain) else 'mine'}"
        )
    return name


def names_data_file(dataset: str) -> bool:
    """Whether `dataset` is the path of an `.npz` file, and no name of a data set."""
    return dataset.lower().endswith(".npz")


def check_trainable(trial: TrialConfig) -> None:
    """Checks that what a trial names is known here; another version may have planned it.

    Raises:
        ConfigError: if it is not.
    """
    for kind, allowed in (("activation", ACTIVATIONS), ("loss", LOSSES), ("engine", LOOPS)):
        if getattr(trial, kind) not in allowed:
            problem = unknown(kind, getattr(trial, kind), allowed)
            raise ConfigError(f"this version of sweep cannot train {trial.trial_id}: {problem}")


def split_values(key: str, text: str) -> list[str]:
    """Splits the text `A,B` of an override."""
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise ConfigError(f"{key}={text} has an empty value; write {key}=A,B")
    return items


def parse_value(text: str) -> Any:
    """Gives the number that a text of an override is, else the text."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def as_words(value: Any) -> str:
    """Gives a value as a user would write it in an override."""
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _is_experiment_name(name: str) -> bool:
    # File systems count bytes, of which a character may take four.
    return bool(re.fullmatch(r"[^\W_][\w.+-]{0,99}", name)) and ".." not in name and len(name.encode()) <= 240


def _check_layers(table: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    layers = dict(HIDDEN_LAYERS)
    for name, units in table.items():
        # The name becomes part of a folder's name.
        if not re.fullmatch(r"[A-Za-z0-9_]{1,40}", name):
            raise ConfigError(f"layers: {shown(name)} cannot name a depth; use up to 40 letters, digits and '_'")
        if not isinstance(units, Sequence) or isinstance(units, str) or not all(_is_whole(u) and u > 0 for u in units):
            raise ConfigError(f"layers.{name} must be a list of positive whole numbers, got {shown(units)}")
        layers[name] = tuple(units)
    return layers


def _check_axes(
    table: Mapping[str, Any], layers: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    for key in table:
        if key not in AXES:
            raise ConfigError(unknown("axis", key, AXES))
    names = {"depth": list(layers), "activation": list(ACTIVATIONS), "loss": list(LOSSES)}
    axes = []
    for axis in AXES:
        given = table.get(axis, _DEFAULT_AXES[axis])
        values = list(given) if isinstance(given, list | tuple) else [given]
        if not values:
            raise ConfigError(f"{axis} has no values; give at least one")
        checked = tuple(_check_value(axis, value, names.get(axis, ())) for value in values)
        if repeated := _repeated(values, checked):
            raise ConfigError(f"{axis} repeats a value: {as_words(repeated)}")
        axes.append((axis, checked))
    points = math.prod(len(values) for _, values in axes)
    if points > _MOST_POINTS:
        raise ConfigError(f"the axes have {points:,} grid points; a sweep can have {_MOST_POINTS:,}")
    return tuple(axes)


def _repeated(given: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """What was given for the first value that comes more than once."""
    twice = next((value for value, count in Counter(values).items() if count > 1), None)
    return [one for one, value in zip(given, values, strict=True) if value == twice]


def _check_value(axis: str, value: Any, names: Sequence[str]) -> str | float | int:
    """Gives a value in the type of its axis."""
    if names:
        name = str(value) if _is_whole(value) else value  # a name such as 64, written without quotes
        if not isinstance(name, str):
            raise ConfigError(f"{axis} must be names in quotes, got {shown(value)}; choose from {', '.join(names)}")
        if name not in names:
            raise ConfigError(unknown(axis, name, names))
        return name
    if axis == "batch_size":
        return _whole({axis: value}, axis, 0, at_least=1)
    # Smaller numbers are 0 or not, as the processor is set up.
    if not (_is_number(value) and sys.float_info.min <= value < math.inf):
        raise ConfigError(f"{axis} must be a positive number, got {shown(value)}")
    return float(value)


def _check_seeds(given: Any) -> tuple[int, ...]:
    seeds: list[Any] = []
    for item in (
        split_values("seeds", given) if isinstance(given, str) else given if isinstance(given, list) else [given]
    ):
        bounds = re.fullmatch(r"(\d+)\.\.(\d+)", item) if isinstance(item, str) else None
        if bounds and int(bounds[2]) - int(bounds[1]) < 10_000:
            seeds += range(int(bounds[1]), int(bounds[2]) + 1)
        else:
            seeds.append(parse_value(item) if isinstance(item, str) else item)
    if not seeds or not all(_is_whole(seed) and seed >= 0 for seed in seeds):
        raise ConfigError(f"seeds must be whole numbers of at least 0, such as 0..4 or 0,1,2; got {shown(given)}")
    if max(seeds) >= FIRST_RESERVED_SEED:
        raise ConfigError(
            f"seeds from {FIRST_RESERVED_SEED} on are reserved for `sweep confirm`, which draws them; use smaller ones"
        )
    if repeated := _repeated(seeds, seeds):
        raise ConfigError(f"seeds repeats a value: {as_words(repeated)}; a repeated seed adds no evidence")
    return tuple(seeds)


def _check_dataset(dataset: str) -> str:
    if "://" in dataset:
        raise ConfigError(f"dataset {dataset} is an address; an .npz file is read from a folder, copy it to one first")
    if dataset not in DATASETS and not names_data_file(dataset):
        raise ConfigError(f"{unknown('dataset', dataset, DATASETS)}; or give the path of an .npz file")
    return dataset


def _check_resources(table: Mapping[str, Any]) -> Resources:
    for key in table:
        if key not in RESOURCE_KEYS:
            raise ConfigError(unknown("key", key, RESOURCE_KEYS))
    default = Resources()
    num_gpus = table.get("num_gpus", default.num_gpus)
    if num_gpus != "auto" and not (_is_number(num_gpus) and 0 <= num_gpus < math.inf):
        raise ConfigError(f"num_gpus must be a number of at least 0, or auto; got {shown(num_gpus)}")
    if num_gpus != "auto" and num_gpus > 1 and num_gpus != int(num_gpus):
        raise ConfigError(f"num_gpus above 1 must be a whole number, got {shown(num_gpus)}")
    return Resources(
        num_cpus=_whole(table, "num_cpus", default.num_cpus, at_least=1),
        num_gpus=num_gpus,
        max_concurrent=_whole(table, "max_concurrent", default.max_concurrent, at_least=0),
        max_retries=_whole(table, "max_retries", default.max_retries, at_least=0),
        checkpoint_every=_whole(table, "checkpoint_every", default.checkpoint_every, at_least=1),
        pack=_whole(table, "pack", default.pack, at_least=1),
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _whole(table: Mapping[str, Any], key: str, default: int, *, at_least: int) -> int:
    value = table.get(key, default)
    if not _is_whole(value) or value < at_least:
        raise ConfigError(f"{key} must be a whole number of at least {at_least}, got {shown(value)}")
    return int(value)


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"{key} must be a text, got {shown(value)}")
    return value


def _choice(table: Mapping[str, Any], key: str, default: str, allowed: Sequence[str]) -> str:
    value = _text(table, key, default)
    if value not in allowed:
        raise ConfigError(unknown(key, value, [name for name in allowed if name]))
    return value
