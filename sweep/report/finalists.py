"""The finalists of an experiment: what its ranking fixes, before any fresh seed, for `sweep confirm`.

Reads what the report reads and ranks as it ranks. Imports neither torch nor ray.
"""

from dataclasses import dataclass

from sweep.axes import Point
from sweep.errors import ConfigError, ExperimentError
from sweep.records import State
from sweep.stats import compare
from sweep.table import Grid, read_grid

_FEWEST, _MOST = 2, 5  # unless the user asks for another number


@dataclass(frozen=True, kw_only=True)
class Finalists:
    """What is to be trained again.

    Attributes:
        points: A grid point for each finalist, the best first; of twins the first, since the others are the same.
        num_seeds: S, the seeds that have chosen them.
    """

    points: tuple[Point, ...]
    num_seeds: int


def find_finalists(records: State, count: int | None) -> Finalists:
    """Gives the best configurations of a finished experiment.

    Args:
        records: All trials of the sweep finished.
        count: How many; None for those that cannot be told apart from the best, at least 2 and at most 5.

    Raises:
        ExperimentError: if something is not finished, or nothing has been selected.
        ConfigError: if there are not so many.
    """
    _check_finished(records)
    grid = read_grid(records)
    name, total = records.manifest.name, len(grid.configurations)
    if total < 2:
        raise ExperimentError(
            f"{name!r} has {total} configuration{'s' * (total != 1)} to compare, so that nothing was selected and "
            "nothing is to be confirmed; add axis values with --extend"
        )
    if len(grid.seeds) < 2:
        raise ExperimentError(
            f"{name!r} has one seed that its configurations share, too few to select; add seeds with --extend"
        )
    if count is None:
        count = min(max(_not_told_apart(grid, records.manifest.looks), _FEWEST), _MOST, total)
    if not 1 <= count <= total:
        raise ConfigError(f"--count must be from 1 to {total}, the configurations of {name!r}; got {count}")
    points = {trial.trial_id: trial.point for trial in records.manifest.compared}
    chosen = [configuration.trained[0].trial_id for _, configuration in grid.ranked()[:count]]
    return Finalists(points=tuple(points[trial_id] for trial_id in chosen), num_seeds=len(grid.seeds))


def _not_told_apart(grid: Grid, looks: int) -> int:
    return int(compare(grid.goodness, looks=looks).in_best_set.sum())


def _check_finished(records: State) -> None:
    left = [trial.trial_id for trial in records.manifest.compared if trial.trial_id not in records.done]
    if left:
        name = records.manifest.name
        option = " --failed" if all(trial_id in records.failed for trial_id in left) else ""
        raise ExperimentError(
            f"{len(left)} of {len(records.manifest.compared)} trials of {name!r} are not finished, and finalists are "
            f"chosen among all; finish them with: sweep resume {name}{option}"
        )
