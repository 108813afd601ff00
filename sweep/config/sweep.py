"""A sweep: the search space, how each grid point is trained, and with what resources."""

import dataclasses
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.config.checks import NAMING_KEYS, TOP_LEVEL_KEYS, as_words, check_tables
from sweep.config.naming import point_name
from sweep.config.trial import AXES, HIDDEN_LAYERS, Point, Resources, TrialConfig


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
        compare: Pairs of grid points named before any training; so they cannot be changed later.
        baseline: The grid point that others are set against, named likewise; () for none.
        folder: From which a relative `dataset` is to be found: that of the sweep file, or the shell's where `dataset`
            is an override; None if the sweep was read from an experiment. It decides no number.
    """

    name: str
    dataset: str
    axes: tuple[tuple[str, tuple[Any, ...]], ...]
    layers: tuple[tuple[str, tuple[int, ...]], ...]
    epochs: int
    seeds: tuple[int, ...]
    validation_size: int
    selection: str
    engine: str
    protocol: str
    resources: Resources
    compare: tuple[tuple[Point, Point], ...] = ()
    baseline: Point = ()
    folder: str | None = dataclasses.field(default=None, compare=False)

    @property
    def points(self) -> list[dict[str, Any]]:
        """The grid points, each the value of every axis."""
        names = [name for name, _ in self.axes]
        return [dict(zip(names, values, strict=True)) for values in itertools.product(*(v for _, v in self.axes))]

    def trials(self, *, dataset_sha256: str, engine: str = "") -> list[TrialConfig]:
        """Gives one trial per grid point.

        Args:
            dataset_sha256: Hash of the data set that `dataset` names.
            engine: The loop that trains them, "" as long as none is chosen.
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
        fields = {key: getattr(self, key) for key in TOP_LEVEL_KEYS}
        fields |= {"axes": dict(self.axes), "layers": dict(self.layers)}
        fields["resources"] = dataclasses.asdict(self.resources)
        if self.compare:
            fields["compare"] = [[dict(one), dict(other)] for one, other in self.compare]
        if self.baseline:
            fields["baseline"] = dict(self.baseline)
        copied: dict[str, Any] = json.loads(json.dumps(fields))
        return copied

    @classmethod
    def from_json(cls, tables: Mapping[str, Any]) -> "SweepConfig":
        """Reads and checks the tables of a sweep file.

        Raises:
            ConfigError: for an unknown key, a wrong type or a value that is not allowed.
        """
        return cls(**check_tables(tables))


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """Says in words where two sweeps would train, select or compare differently; resources do not count."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key}: {as_words(before.get(key))} in the experiment, {as_words(after.get(key))} asked for"
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
    for key in NAMING_KEYS:
        tables.pop(key, None)
    # With the value of every axis, so that a name means the same whatever else varies.
    every = [(axis, ("one", "other")) for axis in AXES]
    pairs = [f"{point_name(one, every)} against {point_name(other, every)}" for one, other in sweep.compare]
    named = {"compare": "; ".join(pairs) or "none", "baseline": point_name(sweep.baseline, every) or "none"}
    return tables | axes | layers | named
