"""What a user can choose: search space, trial and resources, as frozen dataclasses.

Owns reading a TOML sweep file and `key=value` overrides, checking every value once, and the stable trial id.
Imports the standard library and `sweep.errors` only, so that it loads in milliseconds on any machine.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from sweep.errors import ConfigError, unknown

HIDDEN_LAYERS: dict[str, tuple[int, ...]] = {"shallow": (64,), "medium": (128, 64), "deep": (256, 128, 64)}
ACTIVATIONS = ("relu", "sigmoid", "tanh")
LOSSES = ("cross_entropy", "sparse_cross_entropy", "hinge")
DATASETS = ("digits", "fashion_mnist", "kmnist", "mnist")
ENGINES = ("auto", "reference", "stacked")
SELECTIONS = ("validation_accuracy", "train_accuracy")
AXES = ("depth", "activation", "loss", "learning_rate", "batch_size")

# Raised whenever an engine's arithmetic or the randomness changes: an id must keep meaning the same numbers.
_NUMBERS_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One grid point with its seeds: everything that decides the numbers, and nothing else.

    Attributes:
        dataset: Name of the data set, or the path of an `.npz` file.
        dataset_sha256: Hash of its images and labels.
        validation_size: Images taken from the training images for validation; 0 for none.
        depth: Name of the hidden layers. shallow: 64; medium: 128, 64; deep: 256, 128, 64 units.
            Each hidden layer is followed by the activation, the output layer (one unit a class) by none.
            A sweep file may name others under `[layers]`.
        layers: Units of each hidden layer, first to last.
        activation: relu, sigmoid or tanh.
        loss: cross_entropy (one-hot targets), sparse_cross_entropy (integer labels) or hinge.
        learning_rate: Of Adam.
        batch_size: Images a step; the last short batch of an epoch is kept.
        epochs: Passes over the training split.
        seeds: One replicate each.
        engine: reference or stacked.
    """

    dataset: str
    dataset_sha256: str
    validation_size: int
    depth: str
    layers: tuple[int, ...]
    activation: str
    loss: str
    learning_rate: float
    batch_size: int
    epochs: int
    seeds: tuple[int, ...]
    engine: str

    @property
    def point(self) -> dict[str, Any]:
        """The grid point: the value of every axis."""
        return {axis: getattr(self, axis) for axis in AXES}

    @property
    def trial_id(self) -> str:
        """The grid point in words and a hash of every field: the same id always means the same numbers."""
        words = [self.depth, self.activation, self.loss]
        words += [f"lr{self.learning_rate:g}"] if self.learning_rate != 0.001 else []
        words += [f"batch{self.batch_size}"] if self.batch_size != 64 else []
        identity = {"numbers_version": _NUMBERS_VERSION, **dataclasses.asdict(self)}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return "-".join([*words, digest[:8]])

    def to_json(self) -> dict[str, Any]:
        """Gives the fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TrialConfig":
        """Reads what `to_json` gave."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial gets, and how the sweep uses the machine; none of it decides a number.

    Attributes:
        num_cpus: CPUs of a trial; also its number of torch threads.
        num_gpus: GPUs of a trial, a share such as 0.25 allowed; "auto" is a share where there is a GPU, else 0.
        max_concurrent: Trials at a time; 0 means as many as fit.
        max_retries: How often a trial whose worker or node was lost starts again from its last checkpoint.
        checkpoint_every: Epochs between checkpoints; the last epoch always writes one.
        pack: Grid points of the same layers that one Ray trial carries, on a CPU one after the other, on a GPU at the
            same time; each keeps its own files, retries and place in the report.
    """

    num_cpus: int = 1
    num_gpus: float | str = "auto"
    max_concurrent: int = 0
    max_retries: int = 3
    checkpoint_every: int = 1
    pack: int = 1


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A sweep: the search space, how each grid point is trained, and with what resources.

    Attributes:
        name: Of the sweep; the experiment's name unless `--name` gives another.
        dataset: mnist, fashion_mnist, kmnist, digits, or the path of an `.npz` file.
        axes: Values of each axis, in the order of `AXES`.
        layers: Units of the hidden layers of each depth that `axes` names.
        epochs: Passes over the training split.
        seeds: One replicate of every grid point each.
        validation_size: Images taken from the training images; 0 for none.
        selection: The score that chooses the best configuration: validation_accuracy or train_accuracy.
        engine: auto, reference or stacked.
        protocol: "published" if the published table is what the report compares with, else "".
        resources: CPUs, GPUs, retries.
    """

    name: str
    dataset: str = "mnist"
    axes: tuple[tuple[str, tuple[Any, ...]], ...]
    layers: tuple[tuple[str, tuple[int, ...]], ...]
    epochs: int = 10
    seeds: tuple[int, ...] = (0, 1, 2)
    validation_size: int = 5000
    selection: str = "validation_accuracy"
    engine: str = "auto"
    protocol: str = ""
    resources: Resources = field(default_factory=Resources)

    @property
    def points(self) -> list[dict[str, Any]]:
        """The grid points, each the value of every axis."""
        names = [name for name, _ in self.axes]
        return [dict(zip(names, values, strict=True)) for values in itertools.product(*(v for _, v in self.axes))]

    def trials(self, *, dataset_sha256: str, engine: str) -> list[TrialConfig]:
        """Gives one trial per grid point.

        Args:
            dataset_sha256: Hash of the data set that `dataset` names.
            engine: What `engine` stands for on this machine: reference or stacked.
        """
        layers = dict(self.layers)
        return [
            TrialConfig(
                dataset=self.dataset,
                dataset_sha256=dataset_sha256,
                validation_size=self.validation_size,
                layers=layers[point["depth"]],
                epochs=self.epochs,
                seeds=self.seeds,
                engine=engine,
                **point,
            )
            for point in self.points
        ]

    def to_json(self) -> dict[str, Any]:
        """Gives the sweep as the nested tables of a sweep file."""
        fields = {key: getattr(self, key) for key in _TOP_LEVEL}
        fields |= {"axes": dict(self.axes), "layers": dict(self.layers)}
        fields["resources"] = dataclasses.asdict(self.resources)
        copied: dict[str, Any] = json.loads(json.dumps(fields))
        return copied

    @classmethod
    def from_json(cls, tables: Mapping[str, Any]) -> "SweepConfig":
        """Reads and checks the tables of a sweep file.

        Raises:
            ConfigError: for an unknown key, a wrong type or a value that is not allowed.
        """
        return _checked(tables)


_TOP_LEVEL = ("name", "dataset", "epochs", "seeds", "validation_size", "selection", "engine", "protocol")
_RESOURCES = tuple(f.name for f in dataclasses.fields(Resources))
_DEFAULT_AXES: dict[str, list[Any]] = {
    "depth": list(HIDDEN_LAYERS),
    "activation": list(ACTIVATIONS),
    "loss": list(LOSSES),
    "learning_rate": [0.001],
    "batch_size": [64],
}


def built_in_sweeps() -> list[str]:
    """Names of the sweeps that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _sweep_folder().iterdir() if file.name.endswith(".toml"))


def load_sweep(sweep: str, overrides: Sequence[str] = ()) -> SweepConfig:
    """Reads a built-in sweep or a TOML file and applies `key=value` overrides.

    Args:
        sweep: Name of a built-in sweep, or the path of a `.toml` file.
        overrides: Such as `epochs=3`, `depth=shallow,deep`, `seeds=0..4`, `num_cpus=2`.

    Raises:
        ConfigError: in one line, for anything that cannot be accepted.
    """
    tables = _read_tables(sweep)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} is not an override; write key=value, such as epochs=3")
        _override(tables, key.strip(), value.strip())
    return _checked(tables)


def check_experiment_name(name: str) -> str:
    """Gives `name` back if it can be the name of an experiment's folder.

    Raises:
        ConfigError: if it is empty, starts with a dot or a dash, or has a character that is not allowed.
    """
    if not re.fullmatch(r"[^\W_][\w.+-]{0,99}", name) or ".." in name:
        raise ConfigError(
            f"{name!r} cannot be an experiment's name; use up to 100 letters, digits, '-', '_', '.' and '+', "
            "starting with a letter or digit"
        )
    return name


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """Says in words where two sweeps would train or select differently; resources do not count."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key}: {_words(before.get(key))} in the experiment, {_words(after.get(key))} asked for"
        for key in after | before
        if before.get(key) != after.get(key)
    ]


def _flat(sweep: SweepConfig) -> dict[str, Any]:
    tables = sweep.to_json()
    del tables["resources"], tables["name"]
    layers = {
        f"layers of {name}": units
        for name, units in tables.pop("layers").items()
        if HIDDEN_LAYERS.get(name) != tuple(units)
    }
    axes: dict[str, Any] = tables.pop("axes")
    return tables | axes | layers


def _words(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _sweep_folder() -> Any:
    return resources.files("sweep") / "sweeps"


def _read_tables(sweep: str) -> dict[str, Any]:
    is_path = sweep.endswith(".toml") or "/" in sweep
    if not is_path and sweep not in built_in_sweeps():
        raise ConfigError(f"{unknown('sweep', sweep, built_in_sweeps())}; or give the path of a .toml file")
    try:
        text: str = Path(sweep).read_text() if is_path else (_sweep_folder() / f"{sweep}.toml").read_text()
        tables = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the sweep file {sweep}: {getattr(error, 'strerror', None) or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the sweep file {sweep} is not valid TOML: {error}") from None
    tables.setdefault("name", Path(sweep).name.removesuffix(".toml"))
    return tables


def _override(tables: dict[str, Any], key: str, text: str) -> None:
    allowed = [*_TOP_LEVEL, *AXES, *_RESOURCES]
    if key not in allowed:
        raise ConfigError(unknown("key", key, allowed))
    if key == "name":
        raise ConfigError("name is not an override; use --name")
    if key in AXES:
        tables.setdefault("axes", {})[key] = [_literal(item) for item in _items(key, text)]
    elif key == "seeds":
        tables[key] = text
    elif key in _RESOURCES:
        tables.setdefault("resources", {})[key] = _literal(text)
    else:
        tables[key] = _literal(text)


def _items(key: str, text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise ConfigError(f"{key}={text} has an empty value; write {key}=A,B")
    return items


def _literal(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _checked(tables: Mapping[str, Any]) -> SweepConfig:
    for key in tables:
        if key not in (*_TOP_LEVEL, "axes", "layers", "resources"):
            hint = " under [axes]" if key in AXES else " under [resources]" if key in _RESOURCES else ""
            if hint:
                raise ConfigError(f"{key!r} belongs{hint} in a sweep file")
            raise ConfigError(unknown("key", key, [*_TOP_LEVEL, "axes", "layers", "resources"]))
    for key in ("axes", "layers", "resources"):
        if not isinstance(tables.get(key, {}), Mapping):
            raise ConfigError(f"{key} must be a table of a sweep file, got {tables[key]!r}")
    layers = _check_layers(tables.get("layers", {}))
    sweep = SweepConfig(
        name=_text(tables, "name", "sweep"),
        dataset=_check_dataset(_text(tables, "dataset", "mnist")),
        axes=_check_axes(tables.get("axes", {}), layers),
        layers=(),
        epochs=_whole(tables, "epochs", 10, at_least=1),
        seeds=_check_seeds(tables.get("seeds", [0, 1, 2])),
        validation_size=_whole(tables, "validation_size", 5000, at_least=0),
        selection=_choice(tables, "selection", "validation_accuracy", SELECTIONS),
        engine=_choice(tables, "engine", "auto", ENGINES),
        protocol=_choice(tables, "protocol", "", ("", "published")),
        resources=_check_resources(tables.get("resources", {})),
    )
    if sweep.selection == "validation_accuracy" and sweep.validation_size == 0:
        raise ConfigError(
            "selection=validation_accuracy needs validation images; set validation_size above 0, "
            "or selection=train_accuracy"
        )
    used = dict(sweep.axes)["depth"]
    return dataclasses.replace(sweep, layers=tuple((name, layers[name]) for name in used))


def _check_layers(table: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    layers = dict(HIDDEN_LAYERS)
    for name, units in table.items():
        # The name becomes part of a folder's name.
        if not re.fullmatch(r"[A-Za-z0-9_]{1,40}", name):
            raise ConfigError(f"layers.{name}: use up to 40 letters, digits and '_' for the name of a depth")
        if not isinstance(units, Sequence) or isinstance(units, str) or not all(_is_whole(u) and u > 0 for u in units):
            raise ConfigError(f"layers.{name} must be a list of positive whole numbers, got {units!r}")
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
        if len(set(map(str, values))) < len(values):
            raise ConfigError(f"{axis} repeats a value: {_words(values)}")
        for value in values:
            if axis in names and value not in names[axis]:
                raise ConfigError(unknown(axis, str(value), names[axis]))
            if axis == "batch_size" and not (_is_whole(value) and value >= 1):
                raise ConfigError(f"batch_size must be a whole number of at least 1, got {value!r}")
            if axis == "learning_rate" and not (_is_number(value) and 0 < value < math.inf):
                raise ConfigError(f"learning_rate must be a positive number, got {value!r}")
        axes.append((axis, tuple(float(v) for v in values) if axis == "learning_rate" else tuple(values)))
    return tuple(axes)


def _check_seeds(given: Any) -> tuple[int, ...]:
    seeds: list[Any] = []
    for item in _items("seeds", given) if isinstance(given, str) else given if isinstance(given, list) else [given]:
        bounds = re.fullmatch(r"(\d+)\.\.(\d+)", item) if isinstance(item, str) else None
        if bounds and int(bounds[2]) - int(bounds[1]) < 10_000:
            seeds += range(int(bounds[1]), int(bounds[2]) + 1)
        else:
            seeds.append(_literal(item) if isinstance(item, str) else item)
    if not seeds or not all(_is_whole(seed) and 0 <= seed < 2**63 for seed in seeds):
        raise ConfigError(f"seeds must be whole numbers of at least 0, such as 0..4 or 0,1,2; got {given!r}")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds repeats a value: {_words(seeds)}; a repeated seed adds no evidence")
    return tuple(seeds)


def _check_dataset(dataset: str) -> str:
    if dataset not in DATASETS and not dataset.endswith(".npz"):
        raise ConfigError(f"{unknown('dataset', dataset, DATASETS)}; or give the path of an .npz file")
    return dataset


def _check_resources(table: Mapping[str, Any]) -> Resources:
    for key in table:
        if key not in _RESOURCES:
            raise ConfigError(unknown("key", key, _RESOURCES))
    num_gpus = table.get("num_gpus", "auto")
    if num_gpus != "auto" and not (_is_number(num_gpus) and 0 <= num_gpus < math.inf):
        raise ConfigError(f"num_gpus must be a number of at least 0, or auto; got {num_gpus!r}")
    if num_gpus != "auto" and num_gpus > 1 and num_gpus != int(num_gpus):
        raise ConfigError(f"num_gpus above 1 must be a whole number, got {num_gpus!r}")
    return Resources(
        num_cpus=_whole(table, "num_cpus", 1, at_least=1),
        num_gpus=num_gpus,
        max_concurrent=_whole(table, "max_concurrent", 0, at_least=0),
        max_retries=_whole(table, "max_retries", 3, at_least=0),
        checkpoint_every=_whole(table, "checkpoint_every", 1, at_least=1),
        pack=_whole(table, "pack", 1, at_least=1),
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(table: Mapping[str, Any], key: str, default: int, *, at_least: int) -> int:
    value = table.get(key, default)
    if not _is_whole(value) or value < at_least:
        raise ConfigError(f"{key} must be a whole number of at least {at_least}, got {value!r}")
    return int(value)


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"{key} must be a text, got {value!r}")
    return value


def _choice(table: Mapping[str, Any], key: str, default: str, allowed: Sequence[str]) -> str:
    value = _text(table, key, default)
    if value not in allowed:
        raise ConfigError(unknown(key, value, [name for name in allowed if name]))
    return value
