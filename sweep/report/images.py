"""What the finished models say about the test images: confusions, hard images, and who gets which wrong.

Reads the predictions one trial at a time. Axis letters: S shared seeds, N test images, C classes.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.records import DoneRecord, State
from sweep.table import Configuration, Grid
from sweep.tasks import Arrays
from sweep.tasks.classification import ARRAYS, ClassScores, class_scores, scores


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """The predictions of one configuration.

    Attributes:
        configuration: Whose they are.
        correct: Whether each replicate is right about each image, `[S, N]`.
        confusion: `[C, C]` counts over all seeds, rows true, columns predicted.
        mistaken_for: The wrong class that most replicates predict, `[N]`; of equals, the smallest.
        never: Whether a replicate never predicts a class that has test images, `[S, C]`.
    """

    configuration: Configuration
    correct: NDArray[np.bool_]
    confusion: NDArray[np.int64]
    mistaken_for: NDArray[np.int64]
    never: NDArray[np.bool_]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Images that more than half of the replicates get wrong, `[N]`."""
        wrong: NDArray[np.bool_] = 2 * self.correct.sum(axis=0) < len(self.correct)
        return wrong


@dataclass(frozen=True, kw_only=True)
class ConfusedPair:
    """A true class taken for another: counted over all seeds, and as a share of the true class."""

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TestImages:
    """Predictions of the first configurations of the ranking.

    Attributes:
        target_names: C names.
        y_true: `[N]`.
        images: uint8, `[N, height, width]` or with colours, None if the data are no images.
        predicted: In the order of the ranking; the first is the selected one.
        baseline: Position in `predicted` of the one the selected is compared with, None if there is no other.
        classes: Precision, recall and F1 of the selected one, from the counts over all seeds.
        confused: The ten most confused pairs of the selected one.
        wrong_everywhere: Images that every configuration of `predicted` gets wrong, indices.
        wrong_selected_only: Images that only the selected one gets wrong.
    """

    target_names: tuple[str, ...]
    y_true: NDArray[np.int64]
    images: NDArray[np.uint8] | None
    predicted: tuple[Predicted, ...]
    baseline: int | None
    classes: ClassScores
    confused: tuple[ConfusedPair, ...]
    wrong_everywhere: NDArray[np.int64]
    wrong_selected_only: NDArray[np.int64]

    __test__ = False  # not a test, whatever pytest makes of its name


def read_test_images(records: State, grid: Grid, ranked: Sequence[Configuration]) -> TestImages | None:
    """Reads the predictions of some configurations, best first; None if there is nothing to read.

    Args:
        records: Of the experiment.
        grid: Whose shared seeds count.
        ranked: The configurations; the first is the selected one.
    """
    try:
        images, y_true = records.experiment.read_test_split()
    except (FileNotFoundError, ValueError):
        return None
    target_names = records.manifest.dataset.target_names
    if not np.isin(y_true, np.arange(len(target_names))).all():
        return None
    predicted = []
    for configuration in ranked:
        try:
            predicted.append(_predicted(records, configuration, y_true, len(target_names)))
        except (FileNotFoundError, ValueError):
            if not predicted:
                return None  # without those of the selected one there is nothing to compare with
    if not predicted:
        return None
    confusion = predicted[0].confusion
    wrong = np.stack([one.wrong for one in predicted])
    several = len(predicted) > 1
    return TestImages(
        target_names=target_names,
        y_true=y_true,
        images=images if _is_pictures(images) else None,
        predicted=tuple(predicted),
        baseline=_baseline(predicted),
        classes=class_scores(confusion),
        confused=_confused(confusion, target_names),
        wrong_everywhere=np.flatnonzero(wrong.all(axis=0)),
        wrong_selected_only=np.flatnonzero(wrong[0] & ~wrong[1:].any(axis=0)) if several else np.arange(0),
    )


def average_over_occurring(records: State) -> State:
    """Gives records whose macro averages leave out classes that do not occur, where sweep 0.1.0 counted them as 0.

    Predictions are read only if the test split lacks a class.
    """
    if all(records.manifest.dataset.target_counts.get("test", [0])):
        return records
    try:
        if len(np.unique(records.experiment.read_test_split()[1])) == len(records.manifest.dataset.target_names):
            return records
        return dataclasses.replace(
            records, done={name: _averaged(records, done) for name, done in records.done.items()}
        )
    except (FileNotFoundError, ValueError):
        return records  # whoever needs them says that they are not there


def _averaged(records: State, done: DoneRecord) -> DoneRecord:
    found = scores(records.experiment.read_predictions(done.trial_id, ARRAYS), "test")
    rows = [
        dataclasses.replace(row, values=[found[row.metric]])
        if row.split == "test" and row.metric in ("precision", "recall", "f1")
        else row
        for row in done.rows
    ]
    return dataclasses.replace(done, rows=tuple(rows))


def _predicted(records: State, configuration: Configuration, y_true: NDArray[np.int64], classes: int) -> Predicted:
    read: dict[str, Arrays] = {}
    rows, never, confusion = [], [], np.zeros((classes, classes), dtype=np.int64)
    for replicate in configuration.trained:
        if replicate.trial_id not in read:
            read[replicate.trial_id] = records.experiment.read_predictions(replicate.trial_id, ARRAYS)
        predictions = read[replicate.trial_id]
        if predictions["test_logits"].shape != (len(replicate.record.replicates), len(y_true), classes):
            raise ValueError(f"the predictions of {replicate.trial_id} are not of this test split")
        rows.append(predictions["y_pred"][replicate.row])
        counts = predictions["test_confusion"][replicate.row]
        never.append(counts.any(axis=1) & ~counts.any(axis=0))
        confusion += counts
    y_pred = np.stack(rows)
    votes = np.stack([(y_pred == label).sum(axis=0) for label in range(classes)])
    votes[y_true, np.arange(len(y_true))] = -1
    return Predicted(
        configuration=configuration,
        correct=y_pred == y_true,
        confusion=confusion,
        mistaken_for=votes.argmax(axis=0),
        never=np.stack(never),
    )


def _is_pictures(images: NDArray[np.uint8]) -> bool:
    return images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))


def _baseline(predicted: Sequence[Predicted]) -> int | None:
    """The best of the smallest models; the second in the ranking if the selected one is that itself."""
    if len(predicted) < 2:
        return None
    parameters = [one.configuration.parameters for one in predicted]
    return parameters.index(min(parameters)) or 1


def _confused(confusion: NDArray[np.int64], target_names: Sequence[str]) -> tuple[ConfusedPair, ...]:
    errors = confusion - np.diag(np.diag(confusion))
    totals = np.maximum(confusion.sum(axis=1), 1)
    order = np.argsort(-errors, axis=None, kind="stable")[:10]
    pairs = [(int(flat) // len(errors), int(flat) % len(errors)) for flat in order]
    return tuple(
        ConfusedPair(
            true=target_names[true],
            predicted=target_names[predicted],
            count=int(errors[true, predicted]),
            share=float(errors[true, predicted] / totals[true]),
        )
        for true, predicted in pairs
        if errors[true, predicted] > 0
    )
