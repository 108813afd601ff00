"""What fresh seeds say of the finalists, which were fixed before these seeds were trained."""

import math

from sweep.records import State
from sweep.report.findings import LEVEL, Confirmation, Finalist, shown_interval
from sweep.stats import compare, mean_interval
from sweep.table import Grid, read_grid


def confirmation(records: State) -> Confirmation | None:
    """Reads the fresh seeds of an experiment; None if it has no finalists."""
    if not records.manifest.confirmations:
        return None
    grid = read_grid(records, confirmation=True)
    return confirm(grid, unfinished=any(t.trial_id not in records.done for t in records.manifest.confirmations))


def confirm(grid: Grid, *, unfinished: bool = False) -> Confirmation:
    """Compares the first of some finalists with the others, from their fresh seeds alone.

    Args:
        grid: Of the finalists; the first point of it is the one that was selected.
        unfinished: Whether seeds are still to come.
    """
    first = next(
        (k for k, one in enumerate(grid.configurations) if grid.points[0] in one.points),
        None,
    )
    comparisons = compare(grid.goodness, LEVEL)
    cannot = comparisons.cannot
    if first is None:
        cannot = f"{grid.points[0].name} cannot be compared"
    elif len(grid.configurations) == 1:
        cannot = ""
    p_values = [math.nan] * len(grid.configurations) if first is None else comparisons.worse_than(first).tolist()
    order = sorted(range(len(grid.configurations)), key=lambda k: k != first)
    tested = grid.scores(grid.tested)
    return Confirmation(
        seeds=len(grid.seeds),
        finalists=tuple(
            Finalist(
                name=grid.configurations[k].name,
                score=shown_interval(mean_interval(grid.goodness[k], LEVEL), grid.metric),
                test=mean_interval(tested[k], LEVEL),
                p_worse=p_values[k],
            )
            for k in order
        ),
        limit=comparisons.limit,
        level=LEVEL,
        provisional="the confirmation is not finished" if unfinished else comparisons.provisional,
        cannot=cannot,
    )
