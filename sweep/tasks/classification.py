"""Classification: the largest of C outputs says the class. All scores follow from the confusion matrix.

Axis letters: R replicates, N samples, C classes. A class that is never predicted has precision 0, one without samples
recall 0; no warning is given. A class that has no samples and is never predicted takes part in no average. The
definitions are scikit-learn's (`zero_division=0`), which the tests compare with; it is not imported because it would
add a second to the start of every worker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.metrics import TRAIN_TIME, Metric

_TEST = ("test",)


def _share(name: str, **details: Any) -> Metric:
    return Metric(name=name, unit="%", digits=2, low=0.0, high=1.0, **details)


METRICS = (
    Metric(name="loss", mode="min", low=0.0, listed=False),
    # The largest difference in accuracy that does not matter: stated in every report, chosen before looking.
    _share("accuracy", margin=0.001),
    _share("precision", splits=_TEST),
    _share("recall", splits=_TEST),
    _share("f1", splits=_TEST),
    _share("precision_weighted", splits=_TEST, listed=False),
    _share("recall_weighted", splits=_TEST, listed=False),
    _share("f1_weighted", splits=_TEST, listed=False),
    TRAIN_TIME,
)
SELECTION = "validation_accuracy"
WHILE_TRAINING = "accuracy"
ARRAYS = {
    # float16, for looking at margins; what is predicted comes from the float32 values.
    "test_logits": ("RNC", "f"),
    "y_pred": ("RN", "iu"),
    # Rows true, columns predicted; all zero without a validation split.
    "test_confusion": ("RCC", "iu"),
    "validation_confusion": ("RCC", "iu"),
}


def predictions(
    outputs: Mapping[str, NDArray[Any]], targets: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[Any]]:
    """Gives what is kept of the logits `[R, N, C]` and labels `[N]` of splits; see `sweep.tasks.Task`."""
    kept: dict[str, NDArray[Any]] = {}
    for split, logits in outputs.items():
        predicted = logits.argmax(axis=2)
        kept[f"{split}_confusion"] = np.stack(
            [confusion_matrix(targets[split], row, logits.shape[2]) for row in predicted]
        )
        if split == "test":
            with np.errstate(over="ignore"):  # a diverged replicate's logits exceed float16
                kept |= {"test_logits": logits.astype(np.float16), "y_pred": predicted}
    return kept


def scores(arrays: Mapping[str, NDArray[Any]], split: str) -> dict[str, list[float]]:
    """Gives the metrics that the confusion matrices of a split tell, by name, each R numbers in [0, 1]."""
    confusions = arrays[f"{split}_confusion"]
    found = {"accuracy": [accuracy(one) for one in confusions]}
    if split == "test":
        by_class = [class_scores(one) for one in confusions]
        for place, name in enumerate(("precision", "recall", "f1")):
            found[name] = [one.macro()[place] for one in by_class]
            found[f"{name}_weighted"] = [one.weighted()[place] for one in by_class]
    return found


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Per class, each `[C]`: precision, recall and F1 in [0, 1], and how many samples have it and are taken for it."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    predicted: NDArray[np.int64]

    def macro(self) -> tuple[float, float, float]:
        """Precision, recall and F1 averaged over the classes that occur, true or predicted, each counting the same."""
        occurring = max(np.count_nonzero(self.support + self.predicted), 1)
        precision, recall, f1 = (float(score.sum() / occurring) for score in (self.precision, self.recall, self.f1))
        return precision, recall, f1

    def weighted(self) -> tuple[float, float, float]:
        """Precision, recall and F1 averaged over the classes, weighted by their number of samples."""
        weights = self.support / max(self.support.sum(), 1)
        return float(self.precision @ weights), float(self.recall @ weights), float(self.f1 @ weights)


def confusion_matrix(y_true: NDArray[np.integer], y_pred: NDArray[np.integer], num_classes: int) -> NDArray[np.int64]:
    """Counts of samples `[C, C]`, rows true, columns predicted.

    Source: `sklearn.metrics.confusion_matrix`.
    """
    pairs = y_true.astype(np.int64) * num_classes + y_pred
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of samples on the diagonal; NaN without samples."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def class_scores(confusion: NDArray[np.int64]) -> ClassScores:
    """Precision, recall and F1 of every class.

    Source: `sklearn.metrics.precision_recall_fscore_support` with `zero_division=0`.
    """
    hits = np.diag(confusion).astype(np.float64)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    return ClassScores(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, predicted + support),
        support=support,
        predicted=predicted,
    )


def _ratio(part: NDArray[np.float64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
