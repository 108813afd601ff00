"""Counts what the product's own analysis claims of simulated experiments, and how often it is false.

Axis letters: K configurations, S seeds.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from simulation.cases import Cell
from simulation.experiments import World
from simulation.truth import is_false
from sweep.axes import Point
from sweep.report.findings import Findings, confirm
from sweep.table import Grid

FOUND = "worse (share found)"
_FINALISTS = 3


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often something is claimed in the experiments of a cell.

    Attributes:
        case: Name of the case.
        configurations: K.
        seeds: S.
        sentence: Kind of claim as in `sweep.report.findings`; "any" of them; "mean (fresh)" and "test (fresh)", the
            intervals of the winner from fresh seeds; or `FOUND`.
        provisional: Whether the claim says of itself that it is.
        experiments: How many.
        said: Share of them with such a claim; of `FOUND` the mean share of the truly worse that are claimed.
        false: Share of them with such a claim that is false; NaN for `FOUND`.
    """

    case: str
    configurations: int
    seeds: int
    sentence: str
    provisional: bool
    experiments: int
    said: float
    false: float

    @property
    def n_false(self) -> int:
        """Experiments with a false claim."""
        return round(self.false * self.experiments)

    @property
    def n_said(self) -> int:
        """Experiments with a claim."""
        return round(self.said * self.experiments)


@dataclass(kw_only=True)
class _Said:
    """Kinds of claim, with whether they are provisional, that one experiment made."""

    all: set[tuple[str, bool]] = field(default_factory=set)
    false: set[tuple[str, bool]] = field(default_factory=set)
    found: Counter[bool] = field(default_factory=Counter)
    worse: int = 0

    def add(self, kind: str, provisional: bool, false: bool) -> None:
        for name in (kind, "any"):
            self.all.add((name, provisional))
            if false:
                self.false.add((name, provisional))


def measure(cell: Cell) -> list[Rate]:
    """Simulates a cell; the same numbers each time, and of fewer experiments those of the first ones."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(cell.name.encode()).digest()[:8]))
    said, false, shares, unequal = Counter[tuple[str, bool]](), Counter[tuple[str, bool]](), Counter[bool](), 0
    for _ in range(cell.experiments):
        one = _simulate(cell, rng)
        said.update(one.all)
        false.update(one.false)
        if one.worse:
            unequal += 1
            shares.update({provisional: count / one.worse for provisional, count in one.found.items()})
    kinds = sorted({("any", False), ("any", True), ("worse", False), ("worse", True), *said})
    n = cell.experiments
    rates = [_rate(cell, *kind, said[kind] / n, false[kind] / n) for kind in kinds]
    if unequal:
        rates += [_rate(cell, FOUND, kind, shares[kind] / unequal, float("nan")) for kind in (False, True)]
    return rates


def write(rates: Iterable[Rate], file: Path) -> None:
    """Writes the table."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [column.name for column in fields(Rate)], lineterminator="\n")
        writer.writeheader()
        for rate in rates:
            shares = {name: f"{getattr(rate, name):.4f}".replace("nan", "") for name in ("said", "false")}
            writer.writerow(asdict(rate) | {"provisional": "yes" if rate.provisional else "no"} | shares)


def read(file: Path) -> list[Rate]:
    """Reads the table."""
    with file.open(newline="") as stream:
        return [
            Rate(
                case=row["case"],
                configurations=int(row["configurations"]),
                seeds=int(row["seeds"]),
                sentence=row["sentence"],
                provisional=row["provisional"] == "yes",
                experiments=int(row["experiments"]),
                said=float(row["said"]),
                false=float(row["false"] or "nan"),
            )
            for row in csv.DictReader(stream)
        ]


def _rate(cell: Cell, sentence: str, provisional: bool, said: float, false: float) -> Rate:
    return Rate(
        case=cell.case.name,
        configurations=cell.configurations,
        seeds=cell.seeds,
        sentence=sentence,
        provisional=provisional,
        experiments=cell.experiments,
        said=said,
        false=false,
    )


def _simulate(cell: Cell, rng: np.random.Generator) -> _Said:
    case, said, world = cell.case, _Said(), World(cell, rng)
    pairs, baseline = _plans(world) if case.plans else ([], ())
    counts = case.looks or (cell.seeds,)
    scores = world.scores(counts[-1])
    for look, count in enumerate(counts, start=1):
        grid = world.grid(scores.first(count))
        looks = look if case.told else 1
        findings = Findings(grid=grid, looks=looks, compare=tuple(pairs), baseline=baseline)
        if case.fresh:
            _confirm(cell, world, findings, said)
        for claim in findings.claims:
            said.add(claim.kind, bool(claim.provisional), is_false(claim, world, grid))
    if len(counts) == 1:
        compared = world.means[[world.points[one.name] for one in grid.configurations]]
        said.worse = int((compared < compared.max(initial=0.0) - 1e-12).sum())
        said.found.update(bool(c.provisional) for c in findings.claimed("worse") if not is_false(c, world, grid))
    return said


def _plans(world: World) -> tuple[list[tuple[Point, Point]], Point]:
    """Two pairs, and a baseline."""
    points: list[Point] = [*world.values]
    pairs = [(points[0], points[-1]), (points[len(points) // 2], points[0])]
    return pairs[: len(points) - 1], points[0]


def _confirm(cell: Cell, world: World, findings: Findings, said: _Said) -> None:
    """The first of the ranking and two others, with fresh seeds."""
    chosen = [world.points[entry.name] for entry in findings.entries[:_FINALISTS]]
    grid: Grid = world.grid(world.scores(cell.case.fresh), first_seed=1000, chosen=chosen)
    found = confirm(grid)
    for claim in found.claims:
        said.add(claim.kind, bool(claim.provisional), is_false(claim, world, grid))
    first = found.finalists[0]
    for kind, interval, truth in (("mean", first.score, world.means), ("test", first.tested, world.test_means)):
        covered = interval.low <= truth[world.points[first.name]] <= interval.high
        said.add(f"{kind} (fresh)", bool(found.provisional), not covered)
