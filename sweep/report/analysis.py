"""All that a report says of one experiment: the findings, what its files tell beside the scores, and its task.

Axis letters: S seeds, N test samples.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sweep.axes import Point
from sweep.config import TrialConfig
from sweep.metrics import Score
from sweep.pieces import load
from sweep.records import Manifest, State
from sweep.report.document import Section
from sweep.report.findings import MOST_SHOWN, Confirmation, Findings, confirm
from sweep.stats import Interval, crossed_bootstrap
from sweep.table import Configuration, read_grid

# What each task has to say, made from the state and the first configurations of the ranking.
OF_TASKS = {"classification": "sweep.report.classification.Classification"}


class OfTask(Protocol):
    """What a task has to say of the predictions of the first configurations of the ranking."""

    def case_scores(self, score: Score) -> NDArray[np.bool_] | None:
        """Whether the selected configuration is right in each case `[S, N]`; None if the score is no share of them."""

    def doubts(self) -> list[str]:
        """What is doubtful about the selected configuration, for the verdict."""

    def details(self) -> dict[str, str]:
        """Sentences to stand below the verdict, by topic."""

    def beside(self, other: Configuration) -> dict[str, str]:
        """Further cells of the row that compares the selected configuration with another."""

    def section(self, analysis: "Analysis") -> Section:
        """Its own section of the report."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis(Findings):
    """What a report says of one experiment, finished or not."""

    state: State

    @property
    def manifest(self) -> Manifest:
        """Of the experiment."""
        return self.state.manifest

    @cached_property
    def of_task(self) -> OfTask:
        """What only its task can say."""
        first = [self.grid.configurations[k] for _, k in self.grid.ranked()[:MOST_SHOWN]]
        found: OfTask = load(OF_TASKS[self.manifest.task])(self.state, first)
        return found

    @property
    def cases(self) -> int:
        """Test samples over which the interval of `test` is, beside the seeds; 0 if it is over seeds alone."""
        scores = self.of_task.case_scores(self.grid.tested)
        return 0 if scores is None else scores.shape[1]

    @cached_property
    def uncorrected(self) -> Interval:
        """Mean goodness of the selected configuration on the test split, over seeds and test samples where it can be.

        What is drawn for it has a fixed start, so that the same records always give the same report.
        """
        scores = self.of_task.case_scores(self.grid.tested)
        if scores is None:
            return super().uncorrected
        return crossed_bootstrap(scores, np.random.default_rng(0), self.spent)

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """What fresh seeds of finalists say; None if there are none."""
        trials = self.manifest.confirmations
        return (
            confirm(read_grid(self.state, confirmation=True), unfinished=_left(self.state, trials)) if trials else None
        )


def analyse(state: State) -> Analysis:
    """Gives the analysis of an experiment; its parts are found when they are first asked for."""
    manifest, grid = state.manifest, read_grid(state)

    def varied(point: Point) -> Point:
        return tuple(value for axis, value in zip(manifest.axes, point, strict=bool(point)) if axis in grid.axes)

    return Analysis(
        state=state,
        grid=grid,
        looks=manifest.looks,
        unfinished="the experiment is not finished" if _left(state, manifest.compared) else "",
        compare=tuple((varied(one), varied(other)) for one, other in manifest.sweep.compare),
        baseline=varied(manifest.sweep.baseline),
    )


def _left(state: State, trials: Collection[TrialConfig]) -> bool:
    return any(trial.trial_id not in state.done for trial in trials)
