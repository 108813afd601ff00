"""From records to findings: every number of a report is computed here, once.

Axis letters: K configurations (twins once), S shared seeds.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from sweep.records import ExperimentRecords
from sweep.report.findings import (
    LEVEL,
    MARGIN,
    MOST_SHOWN,
    Analysis,
    Crossing,
    Entry,
    Pair,
    Resolution,
    of_share,
)
from sweep.report.images import TestImages, read_test_images
from sweep.report.reference import controls, reproduced
from sweep.stats import (
    BestSet,
    FactorEffects,
    Interval,
    all_pairs,
    best_set,
    compact_letters,
    crossed_bootstrap,
    equivalence,
    factor_effects,
    holm,
    mcnemar,
    mean_interval,
    paired_t,
    pareto_front,
    power_line,
    seeds_to_resolve,
    t_quantile,
)
from sweep.tables import Grid, read_grid


def analyse(records: ExperimentRecords, rng: np.random.Generator) -> Analysis:
    """Computes every number of a report.

    Args:
        records: Of one experiment, finished or not.
        rng: Draws seeds and images for the interval of the test accuracy.
    """
    grid = read_grid(records)
    scores = grid.scores(grid.criterion)
    best = best_set(scores, LEVEL)
    entries = _entries(grid, scores, best)
    effects = _effects(grid)
    images = read_test_images(records, grid, [entry.configuration for entry in entries[:MOST_SHOWN]])
    return Analysis(
        records=records,
        grid=grid,
        criterion=grid.criterion.replace("_", " ").replace("train ", "training "),
        entries=tuple(entries),
        best=best,
        test=_test_accuracy(entries, images, rng),
        effects=effects,
        crossings=_crossings(grid, effects),
        pairs=_pairs(entries, images, grid),
        resolution=_resolution(entries, best),
        controls=controls(grid),
        twins=tuple(configuration for configuration in grid.configurations if len(configuration.points) > 1),
        reproduced=reproduced(grid) if records.manifest.sweep.protocol == "published" else (),
        images=images,
    )


def _entries(grid: Grid, scores: np.ndarray, best: BestSet) -> list[Entry]:
    ranked = grid.ranked()
    index = {id(configuration): k for k, configuration in enumerate(grid.configurations)}
    order = [index[id(configuration)] for _, configuration in ranked]
    letters = [""] * len(order)
    if order and not best.cannot:
        letters = compact_letters(all_pairs(scores, LEVEL), order)
    means = scores.mean(axis=1) if len(order) else np.empty(0)
    costs = {
        "train_time_s": np.array([configuration.mean("train_time_s") for configuration in grid.configurations]),
        "parameters": np.array([configuration.points[0].parameters for configuration in grid.configurations]),
    }
    fronts = {cost: pareto_front(values, means) for cost, values in costs.items()}
    return [
        Entry(
            rank=rank,
            configuration=configuration,
            score=of_share(mean_interval(scores[k], LEVEL)),
            scores=tuple(scores[k].tolist()),
            behind=float(means[order[0]] - means[k]),
            letters=letters[k],
            in_best_set=bool(best.in_best_set[k]),
            p_worse=float(best.p_worse[k]),
            against_best=(float(best.intervals[k, 0]), float(best.intervals[k, 1])),
            on_front={cost: bool(front[k]) for cost, front in fronts.items()},
        )
        for k, (rank, configuration) in zip(order, ranked, strict=True)
    ]


def _test_accuracy(entries: Sequence[Entry], images: TestImages | None, rng: np.random.Generator) -> Interval | None:
    if not entries:
        return None
    if images is None:
        return of_share(mean_interval(entries[0].configuration.scores("test_accuracy"), LEVEL))
    return crossed_bootstrap(images.predicted[0].correct, rng, LEVEL)


def _frame(grid: Grid) -> pd.DataFrame:
    """One row per configuration and seed."""
    rows = [
        {**configuration.levels, "seed": seed, "score": score}
        for configuration in grid.configurations
        for seed, score in zip(grid.seeds, configuration.scores(grid.criterion), strict=True)
    ]
    return pd.DataFrame(rows, columns=[*grid.axes, "seed", "score"])


def _effects(grid: Grid) -> FactorEffects:
    return factor_effects(_frame(grid), list(grid.axes), "score", "seed", LEVEL)


def _crossings(grid: Grid, effects: FactorEffects) -> tuple[Crossing, ...]:
    """Finds levels that change places.

    Both leads must exceed Bonferroni's bound for all leads of one level over another at some level of another axis,
    with the error of the analysis of variance; so the family-wise error is at most 1 - LEVEL.
    """
    if not effects.df or not np.isfinite(effects.error_variance):
        return ()
    frame = _frame(grid)
    tables = {
        (factor, other): frame.groupby([other, factor], sort=False)["score"].agg(["mean", "size"]).unstack()
        for factor in grid.axes
        for other in grid.axes
        if factor != other
    }
    leads = sum(len(table) * len(table["mean"].columns) ** 2 for table in tables.values())
    bound = -t_quantile((1 - LEVEL) / max(leads, 1), effects.df)
    crossings = []
    for (factor, other), table in tables.items():
        means, sizes = table["mean"].to_numpy(), table["size"].to_numpy()
        if np.isnan(means).any():
            continue
        levels, best = list(table["mean"].columns), means.argmax(axis=1)
        needed = bound * np.sqrt(2 * effects.error_variance / sizes.min())
        for (row, at), (other_row, other_at) in itertools.combinations(enumerate(table.index), 2):
            better, worse = best[row], best[other_row]
            lead = float(means[row, better] - means[row, worse])
            other_lead = float(means[other_row, worse] - means[other_row, better])
            if better != worse and min(lead, other_lead) > needed:
                crossings.append(
                    Crossing(
                        factor=factor,
                        other=other,
                        at=str(at),
                        other_at=str(other_at),
                        better=str(levels[better]),
                        worse=str(levels[worse]),
                        lead=lead,
                        other_lead=other_lead,
                    )
                )
    return tuple(crossings)


def _pairs(entries: Sequence[Entry], images: TestImages | None, grid: Grid) -> tuple[Pair, ...]:
    """The runner-up, and the best configuration of every other level of each axis."""
    if len(entries) < 2:
        return ()
    selected = entries[0]
    named = {1: "second in the ranking"}
    for axis in grid.axes:
        seen = {selected.configuration.levels[axis]}
        for place, entry in enumerate(entries[1:], start=1):
            level = entry.configuration.levels[axis]
            if level not in seen and len(seen) <= 8:
                named.setdefault(place, f"best with {level}")
                seen.add(level)
    others = [(entries[place], why) for place, why in sorted(named.items())]
    tests = [paired_t(selected.scores, entry.scores, LEVEL) for entry, _ in others]
    adjusted = holm([test.p_value for test in tests])
    correct = {id(predicted.configuration): predicted.correct for predicted in images.predicted} if images else {}
    first = correct.get(id(selected.configuration))
    pairs = []
    for (entry, why), test, p_holm in zip(others, tests, adjusted, strict=True):
        second = correct.get(id(entry.configuration))
        pairs.append(
            Pair(
                entry=entry,
                why=why,
                test=test,
                p_holm=float(p_holm),
                equivalence=equivalence(selected.scores, entry.scores, MARGIN, LEVEL),
                images=mcnemar(first[0], second[0], LEVEL) if first is not None and second is not None else None,
            )
        )
    return tuple(pairs)


def _resolution(entries: Sequence[Entry], best: BestSet) -> Resolution:
    sd = float(np.sqrt(2 * best.error_variance))
    gap = entries[1].behind if len(entries) > 1 else float("nan")
    known = np.isfinite(sd)
    return Resolution(
        sd=sd,
        detectable=power_line(sd, [best.n])[0][1] if known else float("nan"),
        seeds_now=best.n,
        margin=MARGIN,
        seeds_for_margin=seeds_to_resolve(MARGIN, sd, best.n, LEVEL) if known else None,
        gap=gap,
        seeds_for_gap=seeds_to_resolve(gap, sd, best.n, LEVEL) if known else None,
    )
