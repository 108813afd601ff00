"""Scores of a done record by the names of their columns."""

from sweep.metrics import Score, scores
from sweep.records import DoneRecord
from sweep.tasks import TASKS

SCORES: dict[str, Score] = {one.column: one for one in scores(TASKS["classification"].METRICS)}


def last(record: DoneRecord, column: str) -> list[float]:
    """The values of all replicates after the last epoch."""
    return list(record.final(SCORES[column]))


def history(record: DoneRecord, column: str) -> list[list[float]]:
    """A row of all replicates for each epoch."""
    return [list(row) for row in record.history(SCORES[column])]
