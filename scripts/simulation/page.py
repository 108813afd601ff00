"""The tables of `reports/simulation/README.md`, from the rates; the text around them is written by hand."""

import math
import re
from collections.abc import Callable, Iterable, Mapping

from scipy import stats

from simulation.rates import FOUND, Rate

_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_KINDS = (
    *("worse", "rank", "mean", "test", "equal", "axis", "most", "depends", "combine"),
    *("named", "baseline", "confirmed", "mean (fresh)", "test (fresh)", "diverges"),
)
_AXES = (
    "equal",
    "third three times",
    "level three times",
    "one three times",
    "t, 3 df",
    "axis x seed",
    "five",
    "one axis",
)

Cell = tuple[str, int, int]
_Chosen = Callable[[str], bool]


def fill(page: str, rates: list[Rate]) -> str:
    """Writes the tables between their marks `<!-- table: NAME -->` and `<!-- end -->`."""
    return _TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]](rates)}\n{found[3]}", page)


def lower_bound(rate: Rate, confidence: float = 0.999) -> float:
    """One-sided lower bound of the false rate, by Clopper and Pearson."""
    count, n = rate.n_false, rate.experiments
    return float(stats.beta.ppf(1 - confidence, count, n - count + 1)) if count else 0.0


def worse(rates: list[Rate]) -> str:
    """False "worse" claims at 18 configurations."""
    seeds = (2, 3, 5, 10)
    names = [
        name for name in _cases(rates) if not name.startswith(("control", "confirmed", "plans", "extended", "test "))
    ]
    rows = []
    for name in names:
        cells = [_cell(rates, (name, 18, s)) for s in seeds]
        if sum(bool(cell) for cell in cells) > 1:
            rows.append([name, *(_both(cell, "worse") if cell else "" for cell in cells)])
    return _markdown(["K = 18", *(f"S = {s}" for s in seeds)], rows)


def sizes(rates: list[Rate]) -> str:
    """False claims of few and of many configurations."""
    cells = [cell for cell in _cells(rates, lambda name: True) if cell[1] in (2, 200) and cell[2] != 40]
    return _kinds(rates, cells, ("worse", "rank", "mean", "test", "axis", "combine"))


def carried(rates: list[Rate]) -> str:
    """How often the claims carry their 95 %."""
    seeds = (2, 3, 5, 10)
    rows = []
    for name in _cases(rates):
        cells = [_cell(rates, (name, 18, s)) for s in seeds]
        if sum(bool(cell) for cell in cells) > 1 and not name.startswith(("plans", "confirmed", "control")):
            rows.append(
                [
                    name,
                    *(
                        _percent(cell["mean", False].said) if ("mean", False) in cell else "0" if cell else ""
                        for cell in cells
                    ),
                ]
            )
    return _markdown(["K = 18", *(f"S = {s}" for s in seeds)], rows)


def power(rates: list[Rate]) -> str:
    """The share of the truly worse that are found."""
    rows = []
    for cell in _cells(rates, lambda name: not name.startswith("control")):
        found = _cell(rates, cell)
        if ("worse", False) in found and (FOUND, False) in found and cell[2] > 1:
            certain, doubted = found[FOUND, False].said, found[FOUND, True].said
            rows.append([*map(str, cell), _percent(certain + doubted), _percent(certain), _percent(doubted)])
    return _markdown(["case", "K", "S", "found, %", "without a proviso, %", "provisional, %"], rows)


def intervals(rates: list[Rate]) -> str:
    """How often the intervals of the selected configuration miss."""
    rows = []
    for cell in _cells(rates, lambda name: not name.startswith(("control", "plans", "confirmed", "extended"))):
        found = _cell(rates, cell)
        if cell[2] > 1:
            rows.append([*map(str, cell), *(_percent(_false(found, kind)) for kind in ("mean", "test"))])
    return _markdown(["case", "K", "S", "mean missed, %", "test missed, %"], rows)


def axes(rates: list[Rate]) -> str:
    """False claims about axes."""
    cells = [cell for cell in _cells(rates, lambda name: name.startswith(_AXES)) if cell[2] > 2 and cell[1] != 2]
    return _kinds(rates, cells, ("axis", "most", "depends", "combine"), said="axis")


def looks(rates: list[Rate]) -> str:
    """False claims in any look."""
    cells = _cells(rates, lambda name: "extended" in name)
    return _kinds(rates, cells, ("worse", "rank", "mean", "test", "axis", "combine", "named", "baseline"))


def confirmations(rates: list[Rate]) -> str:
    """Fresh seeds."""
    cells = _cells(rates, lambda name: name.startswith("confirmed"))
    return _kinds(rates, cells, ("mean (fresh)", "test (fresh)", "confirmed"), said="confirmed")


def plans(rates: list[Rate]) -> str:
    """What was named beforehand."""
    cells = _cells(rates, lambda name: name.startswith("plans"))
    return _kinds(rates, cells, ("named", "baseline"), said="baseline")


def missing(rates: list[Rate]) -> str:
    """Scores that are missing, by accident or by score."""
    cells = _cells(rates, lambda name: "missing" in name or "diverged" in name)
    return _kinds(rates, cells, ("worse", "rank", "mean", "test", "axis", "diverges"))


def margins(rates: list[Rate]) -> str:
    """Differences that do not matter."""
    cells = _cells(rates, lambda name: "small spread" in name)
    return _kinds(rates, cells, ("equal", "worse"), said="equal")


def largest(rates: list[Rate]) -> str:
    """Of each kind of claim, the cell in which most experiments make a false one that is not provisional."""
    rows = []
    for kind in _KINDS:
        chosen = [r for r in rates if r.sentence == kind and not r.provisional and not r.case.startswith("control")]
        if chosen:
            worst = max(chosen, key=lambda rate: rate.false)
            where = f"{worst.case}, K = {worst.configurations}, S = {worst.seeds}"
            bound = _percent(lower_bound(worst))
            over = sum(rate.false > 0.05 for rate in chosen)
            rows.append([kind, _percent(worst.false), bound, where, f"{over} of {len(chosen)}"])
    return _markdown(["claim", "false, %", "at least, %", "where most", "cells above 5 %"], rows)


TABLES: Mapping[str, Callable[[list[Rate]], str]] = {
    table.__name__: table
    for table in (worse, sizes, carried, power, intervals, axes, looks, confirmations, plans, missing, margins, largest)
}


def _cases(rates: Iterable[Rate]) -> list[str]:
    return list(dict.fromkeys(rate.case for rate in rates))


def _cells(rates: Iterable[Rate], chosen: _Chosen) -> list[Cell]:
    cells = dict.fromkeys((rate.case, rate.configurations, rate.seeds) for rate in rates)
    return [cell for cell in cells if chosen(cell[0])]


def _cell(rates: Iterable[Rate], cell: Cell) -> dict[tuple[str, bool], Rate]:
    chosen = [rate for rate in rates if (rate.case, rate.configurations, rate.seeds) == cell]
    return {(rate.sentence, rate.provisional): rate for rate in chosen}


def _kinds(rates: list[Rate], cells: list[Cell], kinds: tuple[str, ...], said: str = "") -> str:
    """A row per cell, with the false claims of each kind."""
    rows = []
    for cell in cells:
        found = _cell(rates, cell)
        rows.append([*map(str, cell), *(_both(found, kind) for kind in kinds)])
        if said:
            rows[-1].append(" / ".join(_percent(_value(found, (said, kind), "said")) for kind in (False, True)))
    return _markdown(["case", "K", "S", *kinds, *([f"{said}: said at all"] if said else [])], rows)


def _both(cell: Mapping[tuple[str, bool], Rate], kind: str) -> str:
    """False without a proviso / false and provisional; nothing where such a claim was never made."""
    if (kind, False) not in cell and (kind, True) not in cell:
        return "–"
    return " / ".join(_percent(_value(cell, (kind, provisional), "false")) for provisional in (False, True))


def _false(cell: Mapping[tuple[str, bool], Rate], kind: str) -> float:
    return sum(_value(cell, (kind, provisional), "false") for provisional in (False, True))


def _value(cell: Mapping[tuple[str, bool], Rate], key: tuple[str, bool], name: str) -> float:
    return float(getattr(cell[key], name)) if key in cell else 0.0


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
