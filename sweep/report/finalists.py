"""The finalists of an experiment: what its ranking fixes, before any fresh seed, for `sweep confirm`.

Reads what the report reads and ranks as it ranks. Imports neither torch nor ray.
"""

from typing import NamedTuple

from sweep.axes import Point
from sweep.errors import ConfigError, ExperimentError
from sweep.records import State
from sweep.report.formats import several
from sweep.stats import compare
from sweep.table import read_grid

_FEWEST, _MOST = 2, 5  # unless the user asks for another number


class Finalists(NamedTuple):
    """A grid point for each, the best first, of twins the first; and how many seeds have chosen them."""

    points: tuple[Point, ...]
    num_seeds: int


def find_finalists(state: State, count: int | None) -> Finalists:
    """Gives the best configurations of a finished experiment.

    Args:
        state: All trials of the sweep finished.
        count: How many; None for those that cannot be told apart from the best, at least 2 and at most 5.

    Raises:
        ExperimentError: if something is not finished, or nothing has been selected.
        ConfigError: if there are not so many.
    """
    manifest, grid = state.manifest, read_grid(state)
    name, total = manifest.name, len(grid.configurations)
    left = [trial.trial_id for trial in manifest.compared if trial.trial_id not in state.done]
    if left:
        option = " --failed" if all(trial_id in state.failed for trial_id in left) else ""
        raise ExperimentError(
            f"{len(left)} of {len(manifest.compared)} trials of {name!r} are not finished, and finalists are chosen "
            f"among all; finish them with: sweep resume {name}{option}"
        )
    if total < 2:
        raise ExperimentError(
            f"{name!r} has {several(total, 'configuration')} to compare, so that nothing was selected and "
            "nothing is to be confirmed; add axis values with --extend"
        )
    if len(grid.seeds) < 2:
        raise ExperimentError(
            f"{name!r} has one seed that its configurations share, too few to select; add seeds with --extend"
        )
    if count is None:
        not_told_apart = int(compare(grid.goodness, looks=manifest.looks).in_best_set.sum())
        count = min(max(not_told_apart, _FEWEST), _MOST, total)
    if not 1 <= count <= total:
        raise ConfigError(f"--count must be from 1 to {total}, the configurations of {name!r}; got {count}")
    points = {trial.trial_id: trial.point for trial in manifest.compared}
    chosen = [grid.configurations[k].trained[0].trial_id for _, k in grid.ranked()[:count]]
    return Finalists(points=tuple(points[trial_id] for trial_id in chosen), num_seeds=len(grid.seeds))
