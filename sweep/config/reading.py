"""The door: reads a built-in sweep or a TOML file, applies `key=value` overrides, and checks every value once.

Each mistake is one line that says what is allowed. A grid point of `compare` or `baseline` is named by a table of axis
values, or by a text: the names of levels as the report writes them, in any order. Texts are matched against the levels
that the axes have, never cut at a "-": `learning_rate=1e-05` holds one itself.
"""

import dataclasses
import itertools
import math
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from sweep.axes import Axis, Point, point_name, value_name
from sweep.config.sweep import (
    AXES,
    FIRST_RESERVED_SEED,
    HIDDEN_LAYERS,
    Resources,
    SweepConfig,
    TrialConfig,
    in_words,
)
from sweep.errors import ConfigError, shown, unknown
from sweep.metrics import selecting
from sweep.pieces import ACTIVATIONS, LOOPS, LOSSES, PRODUCTS
from sweep.tasks import DEFAULT_TASK, TASKS

DATASETS = ("digits", "fashion_mnist", "kmnist", "mnist")

_TOP_LEVEL = ("name", "dataset", "epochs", "seeds", "validation_size", "selection", "engine", "products", "protocol")
# Name grid points; in a sweep file alone, which is there before any training.
_NAMING = ("compare", "baseline")
_TABLES = ("axes", "layers", "resources")
_NUMBERS = ("epochs", "validation_size")
_RESOURCES = tuple(field.name for field in dataclasses.fields(Resources))
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


def built_in_sweeps() -> list[str]:
    """Names of the sweeps that come with the package."""
    return sorted(_sweep_files())


def names_sweep_file(sweep: str) -> bool:
    """Whether `sweep` is the path of a sweep file, and no name of a built-in sweep."""
    return sweep.lower().endswith(".toml") or "/" in sweep


def names_data_file(dataset: str) -> bool:
    """Whether `dataset` is the path of an `.npz` file, and no name of a data set."""
    return dataset.lower().endswith(".npz")


def load_sweep(sweep: str, overrides: Sequence[str] = ()) -> SweepConfig:
    """Reads a built-in sweep or a TOML file and applies `key=value` overrides.

    Args:
        sweep: Name of a built-in sweep, or the path of a `.toml` file.
        overrides: Such as `epochs=3`, `depth=shallow,deep`, `seeds=0..4`, `num_cpus=2`.

    Raises:
        ConfigError: in one line, for anything that cannot be accepted.
    """
    tables = _read_tables(sweep)
    folder = Path(sweep).parent if names_sweep_file(sweep) else Path()
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} is not an override; write key=value, such as epochs=3")
        _override(tables, key.strip(), value.strip())
        folder = Path() if key.strip() == "dataset" else folder
    return dataclasses.replace(read_sweep(tables), folder=str(folder))


def read_sweep(tables: Mapping[str, Any]) -> SweepConfig:
    """Reads and checks the tables of a sweep file.

    Raises:
        ConfigError: for an unknown key, a wrong type or a value that is not allowed.
    """
    allowed = [*_TOP_LEVEL, *_NAMING, *_TABLES]
    for key in tables:
        table = "axes" if key in AXES else "resources" if key in _RESOURCES else ""
        if table:
            raise ConfigError(f"{key!r} belongs under [{table}] in a sweep file")
        if key not in allowed:
            raise ConfigError(unknown("key", key, allowed))
    for key in _TABLES:
        if not isinstance(tables.get(key, {}), Mapping):
            raise ConfigError(f"{key} must be a table of a sweep file, got {shown(tables[key])}")
    layers = _read_layers(tables.get("layers", {}))
    axes = _read_axes(tables.get("axes", {}), layers)
    names, task = _Names(axes), TASKS[DEFAULT_TASK]
    scores = selecting(task.METRICS)
    sweep = SweepConfig(
        name=_text(tables, "name", "sweep"),
        dataset=_read_dataset(_text(tables, "dataset", "mnist")),
        axes=axes,
        layers={name: layers[name] for name in axes[0].values},
        epochs=_whole(tables, "epochs", 10, at_least=1),
        seeds=_read_seeds(tables.get("seeds", [0, 1, 2])),
        validation_size=_whole(tables, "validation_size", 5000, at_least=0),
        selection=_text(tables, "selection", task.SELECTION, scores),
        engine=_text(tables, "engine", "auto", ("auto", *sorted(LOOPS))),
        products=_text(tables, "products", "auto", ("auto", *PRODUCTS)),
        protocol=_text(tables, "protocol", "", ("", "published")),
        resources=_read_resources(tables.get("resources", {})),
        compare=_read_pairs(tables.get("compare", []), names),
        baseline=names.find("baseline", tables["baseline"]) if "baseline" in tables else (),
    )
    score = scores[sweep.selection]
    if score.split == "validation" and sweep.validation_size == 0:
        raise ConfigError(
            f"selection={score.column} needs validation images; set validation_size above 0, or "
            f"selection={score.on('train').column}"
        )
    losses = next(axis.values for axis in axes if axis.name == "loss")
    if score.metric.name == "loss" and len(losses) > 1:
        raise ConfigError(
            f"selection={score.column} would compare values of different functions (loss={in_words(losses)}); give one "
            f"loss, or selection={task.SELECTION}"
        )
    return sweep


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


def check_trainable(trial: TrialConfig) -> None:
    """Checks that what a trial names is known here; another version may have planned it.

    Raises:
        ConfigError: if it is not.
    """
    for kind, allowed in (("activation", ACTIVATIONS), ("loss", LOSSES), ("engine", LOOPS)):
        if getattr(trial, kind) not in allowed:
            problem = unknown(kind, getattr(trial, kind), allowed)
            raise ConfigError(f"this version of sweep cannot train {trial.trial_id}: {problem}")


# ---- files and overrides


def _sweep_files() -> dict[str, Any]:
    """The sweep files that come with the package, those of examples among them, by name."""
    package = resources.files("sweep")
    folders = [package / "sweeps", *(folder for folder in (package / "examples").iterdir() if folder.is_dir())]
    files = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".toml")]
    return {file.name.removesuffix(".toml"): file for file in files}


def _read_tables(sweep: str) -> dict[str, Any]:
    is_path = names_sweep_file(sweep)
    if not is_path and sweep not in built_in_sweeps():
        raise ConfigError(f"{unknown('sweep', sweep, built_in_sweeps())}; or give the path of a .toml file")
    try:
        content = (Path(sweep) if is_path else _sweep_files()[sweep]).read_bytes()
        # Whatever the locale; Windows editors put a mark before UTF-8.
        tables = tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the sweep file {sweep}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"the sweep file {sweep} is not text in UTF-8 ({error.reason}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # also of numbers and nesting that Python itself refuses
        raise ConfigError(f"the sweep file {sweep} is not valid TOML: {error}") from None
    file = Path(sweep)
    tables.setdefault("name", file.stem if file.suffix.lower() == ".toml" else file.name)
    return tables


def _override(tables: dict[str, Any], key: str, text: str) -> None:
    allowed = [*_TOP_LEVEL, *AXES, *_RESOURCES]
    if key in _NAMING:
        raise ConfigError(f"{key} belongs in a sweep file, where it is named before any training; it is no override")
    if key not in allowed:
        raise ConfigError(unknown("key", key, allowed))
    if key == "name":
        raise ConfigError("name is not an override; use --name")
    if key in AXES:
        items = _split(key, text)
        _table(tables, "axes")[key] = items if AXES[key] == "nominal" else [_parse(item) for item in items]
    elif key in _RESOURCES:
        _table(tables, "resources")[key] = _parse(text)
    else:
        tables[key] = _parse(text) if key in _NUMBERS else text


def _table(tables: dict[str, Any], key: str) -> dict[str, Any]:
    table = tables.setdefault(key, {})
    return table if isinstance(table, dict) else {}  # what is no table is refused as the file's, not as the override's


def _split(key: str, text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise ConfigError(f"{key}={text} has an empty value; write {key}=A,B")
    return items


def _parse(text: str) -> Any:
    """The number that a text of an override is, else the text."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


# ---- values


def _is_experiment_name(name: str) -> bool:
    # File systems count bytes, of which a character may take four.
    return bool(re.fullmatch(r"[^\W_][\w.+-]{0,99}", name)) and ".." not in name and len(name.encode()) <= 240


def _read_layers(table: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    layers = dict(HIDDEN_LAYERS)
    for name, units in table.items():
        # The name becomes part of a folder's name.
        if not re.fullmatch(r"[A-Za-z0-9_]{1,40}", name):
            raise ConfigError(f"layers: {shown(name)} cannot name a depth; use up to 40 letters, digits and '_'")
        if not isinstance(units, Sequence) or isinstance(units, str) or not all(_is_whole(u) and u > 0 for u in units):
            raise ConfigError(f"layers.{name} must be a list of positive whole numbers, got {shown(units)}")
        layers[name] = tuple(units)
    return layers


def _read_axes(table: Mapping[str, Any], layers: Mapping[str, tuple[int, ...]]) -> tuple[Axis, ...]:
    for key in table:
        if key not in AXES:
            raise ConfigError(unknown("axis", key, AXES))
    words = {"depth": list(layers), "activation": list(ACTIVATIONS), "loss": list(LOSSES)}
    axes = []
    for name, scale in AXES.items():
        given = table.get(name, _DEFAULT_AXES[name])
        values = list(given) if isinstance(given, list | tuple) else [given]
        if not values:
            raise ConfigError(f"{name} has no values; give at least one")
        checked = tuple(_read_value(name, scale, value, words.get(name, ())) for value in values)
        if repeated := _repeated(values, checked):
            raise ConfigError(f"{name} repeats a value: {in_words(repeated)}")
        axes.append(Axis(name=name, values=checked, scale=scale))
    points = math.prod(len(axis.values) for axis in axes)
    if points > _MOST_POINTS:
        raise ConfigError(f"the axes have {points:,} grid points; a sweep can have {_MOST_POINTS:,}")
    return tuple(axes)


def _repeated(given: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """What was given for the first value that comes more than once."""
    twice = next((value for value, count in Counter(values).items() if count > 1), None)
    return [one for one, value in zip(given, values, strict=True) if value == twice]


def _read_value(axis: str, scale: str, value: Any, words: Sequence[str]) -> str | float | int:
    """A value in the type of its axis."""
    if scale == "nominal":
        word = str(value) if _is_whole(value) else value  # a name such as 64, written without quotes
        if not isinstance(word, str):
            raise ConfigError(f"{axis} must be names in quotes, got {shown(value)}; choose from {', '.join(words)}")
        if word not in words:
            raise ConfigError(unknown(axis, word, words))
        return word
    if scale == "count":
        return _whole({axis: value}, axis, 0, at_least=1)
    # Smaller numbers are 0 or not, as the processor is set up.
    if not (_is_number(value) and sys.float_info.min <= value < math.inf):
        raise ConfigError(f"{axis} must be a positive number, got {shown(value)}")
    return float(value)


def _read_seeds(given: Any) -> tuple[int, ...]:
    seeds: list[Any] = []
    for item in _split("seeds", given) if isinstance(given, str) else given if isinstance(given, list) else [given]:
        bounds = re.fullmatch(r"(\d+)\.\.(\d+)", item) if isinstance(item, str) else None
        if bounds and int(bounds[2]) - int(bounds[1]) < 10_000:
            seeds += range(int(bounds[1]), int(bounds[2]) + 1)
        else:
            seeds.append(_parse(item) if isinstance(item, str) else item)
    if not seeds or not all(_is_whole(seed) and seed >= 0 for seed in seeds):
        raise ConfigError(f"seeds must be whole numbers of at least 0, such as 0..4 or 0,1,2; got {shown(given)}")
    if max(seeds) >= FIRST_RESERVED_SEED:
        raise ConfigError(
            f"seeds from {FIRST_RESERVED_SEED} on are reserved for `sweep confirm`, which draws them; use smaller ones"
        )
    if repeated := _repeated(seeds, seeds):
        raise ConfigError(f"seeds repeats a value: {in_words(repeated)}; a repeated seed adds no evidence")
    return tuple(seeds)


def _read_dataset(dataset: str) -> str:
    if "://" in dataset:
        raise ConfigError(f"dataset {dataset} is an address; an .npz file is read from a folder, copy it to one first")
    if dataset not in DATASETS and not names_data_file(dataset):
        raise ConfigError(f"{unknown('dataset', dataset, DATASETS)}; or give the path of an .npz file")
    return dataset


def _read_resources(table: Mapping[str, Any]) -> Resources:
    for key in table:
        if key not in _RESOURCES:
            raise ConfigError(unknown("key", key, _RESOURCES))
    gpus = table.get("num_gpus", Resources.num_gpus)
    if gpus != "auto" and not (_is_number(gpus) and 0 <= gpus < math.inf):
        raise ConfigError(f"num_gpus must be a number of at least 0, or auto; got {shown(gpus)}")
    if gpus != "auto" and gpus > 1 and gpus != int(gpus):
        raise ConfigError(f"num_gpus above 1 must be a whole number, got {shown(gpus)}")
    at_least = {"num_cpus": 1, "max_concurrent": 0, "max_retries": 0, "checkpoint_every": 1, "pack": 1}
    counts = {key: _whole(table, key, getattr(Resources, key), at_least=smallest) for key, smallest in at_least.items()}
    return Resources(num_gpus=gpus if gpus == "auto" else float(gpus), **counts)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _whole(table: Mapping[str, Any], key: str, default: int, *, at_least: int) -> int:
    value = table.get(key, default)
    if not _is_whole(value) or value < at_least:
        raise ConfigError(f"{key} must be a whole number of at least {at_least}, got {shown(value)}")
    return int(value)


def _text(table: Mapping[str, Any], key: str, default: str, allowed: Collection[str] = ()) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"{key} must be a text, got {shown(value)}")
    if allowed and value not in allowed:
        raise ConfigError(unknown(key, value, filter(None, allowed)))
    return value


# ---- grid points by name


def _read_pairs(given: Any, names: "_Names") -> tuple[tuple[Point, Point], ...]:
    if not _is_list(given) or not all(_is_list(pair) and len(pair) == 2 for pair in given):
        example = f'["{names.example(0)}", "{names.example(-1)}"]'
        raise ConfigError(f"compare must be a list of pairs of grid points, such as [{example}]; got {shown(given)}")
    pairs: dict[frozenset[Point], tuple[Point, Point]] = {}
    for pair in given:
        one, other = (names.find("compare", name) for name in pair)
        if one == other:
            raise ConfigError(f"compare: {shown(pair)} is one grid point twice; name two that differ")
        if frozenset((one, other)) in pairs:
            raise ConfigError(f"compare repeats the pair {shown(pair)}; name it once, the order does not count")
        pairs[frozenset((one, other))] = (one, other)
    return tuple(pairs.values())


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


class _Names:
    """Finds grid points by their names."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._axes = axes
        self._levels: dict[str, list[tuple[str, Any]]] = {}
        for level in (level for axis in axes for level in axis.levels):
            self._levels.setdefault(str(level), []).append((level.axis, level.values[0]))
        longest_first = sorted(self._levels, key=len, reverse=True)
        self._level = re.compile(rf"(?<![^\s-])(?:{'|'.join(map(re.escape, longest_first))})(?![^\s-])")

    def example(self, place: int) -> str:
        """The whole name of the first or of the last grid point."""
        return point_name(tuple(axis.values[place] for axis in self._axes), self._axes)

    def find(self, key: str, given: Any) -> Point:
        """Gives the one grid point that a table or a text names."""
        if isinstance(given, str):
            choices = self._of_text(key, given)
        elif isinstance(given, Mapping):
            choices = [self._of_table(key, given)]
        else:
            raise ConfigError(
                f"{key} must name a grid point by a text such as {self.example(0)!r} or by a table of axis values; got "
                f"{shown(given)}"
            )
        fitting = [[(one[axis.name],) if axis.name in one else axis.values for axis in self._axes] for one in choices]
        count = sum(math.prod(map(len, values)) for values in fitting)
        point = tuple(values[0] for values in fitting[0])
        if count == 1:
            return point
        whole = repr(point_name(point, self._axes))
        if len(fitting) == count:  # the text is whole already, but a word of it is the level of several axes
            words = zip(self._axes, point, strict=True)
            named = ", ".join(f'{axis.name} = "{value}"' for axis, value in words if axis.scale == "nominal")
            whole = f"{{ {named} }}"
        raise ConfigError(f"{key}: {shown(given)} fits {count:,} grid points; write the whole name, such as {whole}")

    def _of_text(self, key: str, text: str) -> list[dict[str, Any]]:
        """Each way to read a text, as values of the axes that it names."""
        words = self._level.findall(text)
        # The "-" of an exponent is kept in what the message repeats.
        strange = [word for word in re.split(r"\s+|(?<![\d.]e)-", self._level.sub(" ", text)) if word]
        if strange:
            raise ConfigError(f"{key}: {unknown('level', strange[0], self._levels)}")
        readings: list[dict[str, Any]] = []
        if 0 < len(words) <= len(self._axes):
            for levels in itertools.product(*(self._levels[word] for word in words)):
                choice = dict(levels)
                if len(choice) == len(levels) and choice not in readings:
                    readings.append(choice)
        if not readings:
            raise ConfigError(
                f"{key}: {shown(text)} names no grid point; write one level of each axis, such as {self.example(0)!r}"
            )
        return readings

    def _of_table(self, key: str, table: Mapping[str, Any]) -> dict[str, Any]:
        values = {axis.name: axis.values for axis in self._axes}
        for axis in table:
            if axis not in values:
                raise ConfigError(f"{key}: {unknown('axis', axis, values)}")
        return {axis: _among(key, axis, given, values[axis]) for axis, given in table.items()}


def _among(key: str, axis: str, given: Any, values: Sequence[Any]) -> Any:
    """The value of an axis that equals what was given, in its type: 1 is 1.0, and 64 the depth "64"."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    word = given if isinstance(given, str) else value_name(given) if is_number else shown(given)
    for value in values:
        if word == value or (is_number and given == value):
            return value
    raise ConfigError(f"{key}: {unknown(axis, word, map(value_name, values))}")
