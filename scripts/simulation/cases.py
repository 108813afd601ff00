"""What is simulated: experiments of which the truth is known, by name, with the sizes at which each is tried.

Axis letters: K configurations, S seeds. Scores are accuracies, 0.95 + unit x (mean + luck of the seed + error); both
kinds of luck have a standard deviation of 1 where nothing else is said.
"""

import math
from dataclasses import dataclass, replace

EXPERIMENTS = 1000
# Of the large grids, which take ten times as long.
FEWER, LARGE = 300, 100
# Power is told at a gap of so many standard errors of the difference.
GAP = 6.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of experiment.

    Attributes:
        name: In the table.
        means: "equal", "one best", "two tied", "ladder" (steps of one margin), "margin" (one best, all others exactly
            one margin lower), "drawn" (normal, with standard deviation `differing`) or "one axis" (the last axis
            matters, steps of 2, and no other).
        differing: Standard deviation of drawn means.
        spreads: Of the configurations: "even", "third" (every third has `factor`), "level" (the first level of the
            first axis has `factor`), "one" (one has it) or "log-uniform" (0.45 to 2.2, drawn for each experiment).
        factor: Of the spread of some.
        errors: "normal", "t" (3 degrees of freedom, scaled to variance 1) or "collapse" (3 % lose 20).
        luck: Variance of what all grid points of a level of the first axis share in a seed.
        unit: Standard deviation of an error, in accuracy.
        shape: Levels of each axis; those of `SHAPES` if empty.
        dropped: How many grid points, drawn for each experiment, were never trained.
        missing: Share of replicates that are missing by accident.
        bound: Replicates whose mean, luck and error come to less have diverged.
        lower: How much lower the means of those with more spread are.
        looks: Seeds at each look at the data; one look at all seeds if empty.
        told: Whether the analysis is told how often it has looked.
        fresh: How many fresh seeds the first three of the ranking are confirmed with.
        plans: Whether two pairs and a baseline are named beforehand.
        shared: Correlation of validation and test accuracy, in the luck of a seed.
        correlation: Likewise in the errors.
        control: A wrong analysis, which the simulation has to catch.
    """

    name: str
    means: str = "equal"
    differing: float = 0.0
    spreads: str = "even"
    factor: float = 1.0
    errors: str = "normal"
    luck: float = 0.0
    unit: float = 0.002
    shape: tuple[int, ...] = ()
    dropped: int = 0
    missing: float = 0.0
    bound: float = -math.inf
    lower: float = 0.0
    looks: tuple[int, ...] = ()
    told: bool = True
    fresh: int = 0
    plans: bool = False
    shared: float = 0.73
    correlation: float = 0.73
    control: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A case at one size."""

    case: Case
    configurations: int
    seeds: int
    experiments: int

    @property
    def name(self) -> str:
        """The case and its size; what is drawn depends on nothing else."""
        return f"{self.case.name}, {self.configurations} x {self.seeds}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Levels of each axis."""
        return self.case.shape or SHAPES.get(self.configurations, (self.configurations,))


SHAPES = {18: (3, 3, 2), 200: (10, 5, 4)}

_EQUAL, _BEST = Case(name="equal"), Case(name="one best", means="one best")
_MANY = [(18, 2), (18, 3), (18, 5), (18, 10)]
_USUAL = [(18, 3), (18, 5), (18, 10)]
_BOTH = [(18, 3), (18, 5)]
_LOOKS = (3, 5, 10, 20, 40)

_CASES: list[tuple[Case, list[tuple[int, int]]]] = [
    (_EQUAL, [(2, 1), (2, 2), (2, 3), (2, 5), (2, 10), (18, 1), *_MANY, (200, 2), (200, 3), (200, 5)]),
    (_BEST, [(2, 5), (18, 1), *_MANY, (200, 3), (200, 5)]),
    (Case(name="means differ by 0.5", means="drawn", differing=0.5), [*_BOTH, (200, 5)]),
    (Case(name="means differ by 1.5", means="drawn", differing=1.5), [(18, 5)]),
    (Case(name="two tied", means="two tied"), _BOTH),
    (Case(name="ladder", means="ladder"), _USUAL),
    (Case(name="ladder, small spread", means="ladder", unit=0.0003), [(18, 5)]),
    (Case(name="equal, small spread", unit=0.0003), _BOTH),
    (Case(name="margin, small spread", means="margin", unit=0.0003), [(18, 5)]),
    (Case(name="third twice", spreads="third", factor=2), [*_MANY, (200, 3)]),
    (Case(name="third three times", spreads="third", factor=3), [*_MANY, (200, 5)]),
    (Case(name="level three times", spreads="level", factor=3), _BOTH),
    (Case(name="log-uniform", spreads="log-uniform"), _USUAL),
    (Case(name="one three times", spreads="one", factor=3), _USUAL),
    (Case(name="t, 3 df", errors="t"), _USUAL),
    (Case(name="collapses", errors="collapse"), _USUAL),
    (Case(name="one best, third three times", means="one best", spreads="third", factor=3), [(18, 5)]),
    (Case(name="one best, t, 3 df", means="one best", errors="t"), [(18, 5)]),
    (Case(name="axis x seed 0.5", luck=0.5), _BOTH),
    (Case(name="axis x seed 1", luck=1.0), _USUAL),
    (Case(name="five null axes", shape=(2, 2, 2, 2, 2)), [(32, 3), (32, 5)]),
    (Case(name="one axis", means="one axis"), _BOTH),
    (Case(name="one axis, two points never trained", means="one axis", dropped=2), _BOTH),
    (Case(name="extended", looks=_LOOKS, plans=True), [(2, 40), (18, 40)]),
    (Case(name="control: extended, not told", looks=_LOOKS, told=False, plans=True, control=True), [(2, 40), (18, 40)]),
    (Case(name="a fifth missing", missing=0.2), _USUAL),
    (Case(name="one best, a fifth missing", means="one best", missing=0.2), [(18, 5)]),
    (Case(name="diverged", bound=-2.5), [(18, 1), *_BOTH]),
    (Case(name="diverged, a risky third", spreads="third", factor=3, bound=-3.0, lower=1.0), _BOTH),
    (Case(name="confirmed", fresh=6), _BOTH),
    (Case(name="confirmed, third three times", fresh=6, spreads="third", factor=3), [(18, 5)]),
    (Case(name="confirmed, one best", fresh=6, means="one best"), [(18, 5)]),
    (Case(name="plans", plans=True), _BOTH),
    (Case(name="plans, third three times", plans=True, spreads="third", factor=3), _BOTH),
    (Case(name="plans, one best", plans=True, means="one best"), [(18, 5)]),
    (Case(name="test shares seeds alone", shared=1.0, correlation=0.0), [(18, 5)]),
]


def cells(
    case: str = "", configurations: int | None = None, seeds: int | None = None, experiments: int | None = None
) -> list[Cell]:
    """Chooses what to simulate.

    Args:
        case: How the names of the cases begin.
        configurations: K; with `seeds`, also a size that is not listed.
        seeds: S, of all looks together.
        experiments: Of each cell; by default 1,000, and 300 of the large ones.

    Raises:
        ValueError: If there is none.
    """
    cases = [(one, sizes) for one, sizes in _CASES if one.name.startswith(case)]
    if configurations and seeds and not any((configurations, seeds) in sizes for _, sizes in cases):
        cases = [(replace(one, shape=(), looks=()), [(configurations, seeds)]) for one, _ in cases]
    chosen = [
        Cell(
            case=one,
            configurations=k,
            seeds=s,
            experiments=experiments or (FEWER if k > LARGE else EXPERIMENTS),
        )
        for one, sizes in cases
        for k, s in sizes
        if configurations in (None, k) and seeds in (None, s)
    ]
    if not chosen:
        known = ", ".join(one.name for one, _ in _CASES)
        raise ValueError(f"no case {case!r} of {configurations} configurations and {seeds} seeds; cases: {known}")
    return chosen
