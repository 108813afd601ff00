"""A sweep: the search space, how each grid point is trained, and with what resources."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from sweep.axes import Axis, Point, point_name, value_name

# A text that is checked, where a record is read, for being one part of a path.
FileName = Annotated[str, "one part of a path"]

HIDDEN_LAYERS: dict[str, tuple[int, ...]] = {"shallow": (64,), "medium": (128, 64), "deep": (256, 128, 64)}
# Scale of each axis, which also says of what type its values are once they are read: a word, a number, a count.
AXES = {"depth": "nominal", "activation": "nominal", "loss": "nominal", "learning_rate": "log", "batch_size": "count"}

# The role of a trial that trains a finalist anew, with seeds from the reserved range that no user can ask for.
CONFIRMATION = "confirmation"
FIRST_RESERVED_SEED = 2**62

# Raised whenever a loop's arithmetic or the randomness changes: an id must keep meaning the same numbers.
_NUMBERS_VERSION = 1
# What decides a trial's numbers; a setting that is new joins it only where it is given.
_IDENTITY = ("dataset", "dataset_sha256", "validation_size", "layers", *AXES, "epochs", "seeds", "engine")
# What decides what is trained, selected and compared.
_COMPARED = ("dataset", "epochs", "seeds", "validation_size", "selection", "engine", "protocol")


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
class TrialConfig:
    """One grid point with its seeds: everything that decides the numbers, and what it was planned for.

    Attributes:
        trial_id: The grid point in words and `digest`, made as a trial is planned. What is read from a manifest has
            the id that it was written with.
        dataset: Name of the data set, or the path of an `.npz` file; its hash is of its inputs and targets.
        depth: Name of the hidden layers; each is followed by the activation, the output layer by none.
        layers: Units of each hidden layer, first to last.
        activation: One of `sweep.pieces.ACTIVATIONS`.
        loss: One of `sweep.pieces.LOSSES`.
        learning_rate: Of Adam.
        batch_size: Samples a step; the last short batch of an epoch is kept.
        seeds: One replicate each.
        engine: The loop that trains it, one of `sweep.pieces.LOOPS`.
        role: "" for a trial of the sweep, `CONFIRMATION` for a finalist's fresh seeds. It decides no number.
    """

    trial_id: FileName = ""
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
    role: str = ""

    def __post_init__(self) -> None:
        if not self.trial_id:
            words = [self.depth, self.activation, self.loss]
            words += [f"lr{value_name(self.learning_rate)}"] if self.learning_rate != 0.001 else []
            words += [f"batch{self.batch_size}"] if self.batch_size != 64 else []
            object.__setattr__(self, "trial_id", "-".join([*words, self.digest]))

    @property
    def point(self) -> Point:
        """The grid point."""
        return tuple(getattr(self, axis) for axis in AXES)

    @property
    def title(self) -> str:
        """The id as it is shown, with the role if it has one."""
        return f"{self.trial_id} ({self.role})" if self.role else self.trial_id

    @property
    def digest(self) -> str:
        """A hash of all that decides a number: the same one always means the same numbers."""
        identity = {"numbers_version": _NUMBERS_VERSION, **{name: getattr(self, name) for name in _IDENTITY}}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A sweep: the search space, how each grid point is trained, and with what resources.

    Attributes:
        name: Of the sweep; the experiment's name unless `--name` gives another.
        dataset: mnist, fashion_mnist, kmnist, digits, or the path of an `.npz` file.
        axes: In the order of `AXES`.
        layers: Units of the hidden layers of each depth that `axes` names.
        epochs: Passes over the training split.
        seeds: One replicate of every grid point each.
        validation_size: Samples taken from the training split; 0 for none.
        selection: Name of the score that chooses the best configuration; see `sweep.metrics.selecting`.
        engine: auto, reference or stacked.
        products: What multiplies matrices on a CPU: one of `sweep.pieces.PRODUCTS`, or auto for the fastest there.
        protocol: Name of an example whose sections the report has beside the usual ones, else "".
        resources: CPUs, GPUs, retries.
        compare: Pairs of grid points named before any training; so they cannot be changed later.
        baseline: The grid point that others are set against, named likewise; () for none.
        folder: From which a relative `dataset` is to be found: that of the sweep file, or the shell's where `dataset`
            is an override; None if the sweep was read from an experiment. It decides no number, and no record has it.
    """

    name: str
    dataset: str
    axes: tuple[Axis, ...]
    layers: Mapping[str, tuple[int, ...]]
    epochs: int
    seeds: tuple[int, ...]
    validation_size: int
    selection: str
    engine: str
    protocol: str
    resources: Resources
    products: str = "auto"
    compare: tuple[tuple[Point, Point], ...] = ()
    baseline: Point = ()
    folder: str | None = dataclasses.field(default=None, compare=False)

    @property
    def points(self) -> list[Point]:
        """The grid points."""
        return [*itertools.product(*(axis.values for axis in self.axes))]

    def trials(self, *, dataset_sha256: str, engine: str = "") -> list[TrialConfig]:
        """Gives one trial per grid point.

        Args:
            dataset_sha256: Hash of the data set that `dataset` names.
            engine: The loop that trains them, "" as long as none is chosen.
        """
        named = [dict(zip(AXES, point, strict=True)) for point in self.points]
        return [
            TrialConfig(
                dataset=self.dataset,
                dataset_sha256=dataset_sha256,
                validation_size=self.validation_size,
                layers=self.layers[point["depth"]],
                epochs=self.epochs,
                seeds=self.seeds,
                engine=engine,
                **point,
            )
            for point in named
        ]

    def tables(self) -> dict[str, Any]:
        """The sweep as the nested tables of a sweep file."""

        def table(point: Point) -> dict[str, Any]:
            return {axis.name: value for axis, value in zip(self.axes, point, strict=True)}

        tables = {key: getattr(self, key) for key in ("name", *_COMPARED, "products")}
        tables |= {"axes": {axis.name: axis.values for axis in self.axes}, "layers": self.layers}
        tables["resources"] = dataclasses.asdict(self.resources)
        if self.compare:
            tables["compare"] = [[table(one), table(other)] for one, other in self.compare]
        if self.baseline:
            tables["baseline"] = table(self.baseline)
        copied: dict[str, Any] = json.loads(json.dumps(tables))
        return copied


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """Says in words where two sweeps would train, select or compare differently; resources do not count."""
    before, after = _settings(old), _settings(new)
    return [
        f"{key}: {in_words(before.get(key))} in the experiment, {in_words(after.get(key))} asked for"
        for key in after | before
        if before.get(key) != after.get(key)
    ]


def _settings(sweep: SweepConfig) -> dict[str, Any]:
    settings = {key: getattr(sweep, key) for key in _COMPARED} | {axis.name: axis.values for axis in sweep.axes}
    for name, units in sweep.layers.items():
        if HIDDEN_LAYERS.get(name) != units:
            settings[f"layers of {name}"] = units
    # With the value of every axis, so that a name means the same whatever else varies.
    every = [dataclasses.replace(axis, values=("one", "other")) for axis in sweep.axes]
    pairs = [f"{point_name(one, every)} against {point_name(other, every)}" for one, other in sweep.compare]
    settings["compare"] = "; ".join(pairs) or "none"
    settings["baseline"] = point_name(sweep.baseline, every) if sweep.baseline else "none"
    return settings


def in_words(value: Any) -> str:
    """A value as a user would write it in an override."""
    return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
