"""Tasks: what a prediction is, and how it is scored. Imports neither torch nor ray.

    classification.py    one of C classes; scores from counts of what is taken for what

A task is a module that has what `Task` says; its sections of the report stand in `sweep.report`.
"""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from sweep.metrics import Metric
from sweep.tasks import classification

Arrays = Mapping[str, NDArray[Any]]


class Task(Protocol):
    """What a task provides. Axis letters: R replicates, N samples, C outputs of the model.

    Attributes:
        METRICS: Every metric of its records, in the order of the tables.
        SELECTION: Name of the score that selects unless another is asked for.
        WHILE_TRAINING: The metric that is the share of samples a loop counts as correct while it trains.
        ARRAYS: What is kept of the predictions, by name: a letter for each axis, and the kinds of numpy's types.
    """

    METRICS: tuple[Metric, ...]
    SELECTION: str
    WHILE_TRAINING: str
    ARRAYS: Mapping[str, tuple[str, str]]

    def predictions(self, outputs: Mapping[str, NDArray[Any]], targets: Mapping[str, NDArray[Any]]) -> Arrays:
        """Gives what is kept of the outputs `[R, N, C]` and targets `[N]` of the splits "validation" and "test"."""

    def scores(self, arrays: Arrays, split: str) -> dict[str, list[float]]:
        """Gives the metrics of a split that the kept predictions tell, by name, each R numbers."""


TASKS: dict[str, Task] = {"classification": cast(Task, classification)}
DEFAULT_TASK = "classification"
