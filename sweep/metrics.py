"""Scores of a classifier, all from its confusion matrix, with numpy alone.

Axis letters: N images, C classes. A class that is never predicted has precision 0, one without images recall 0;
no warning is given. A class that has no images and is never predicted takes part in no average. The definitions are
scikit-learn's (`zero_division=0`), which the tests compare with; it is not imported because it would add a second to
the start of every worker.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Per class, each `[C]`: precision, recall and F1 in [0, 1], and how many images have it and are taken for it."""

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
        """Precision, recall and F1 averaged over the classes, weighted by their number of images."""
        weights = self.support / max(self.support.sum(), 1)
        return float(self.precision @ weights), float(self.recall @ weights), float(self.f1 @ weights)


def confusion_matrix(y_true: NDArray[np.integer], y_pred: NDArray[np.integer], num_classes: int) -> NDArray[np.int64]:
    """Counts of images `[C, C]`, rows true, columns predicted.

    Source: `sklearn.metrics.confusion_matrix`.
    """
    pairs = y_true.astype(np.int64) * num_classes + y_pred
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of images on the diagonal; NaN without images."""
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
