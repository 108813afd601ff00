"""What a score means, and the scores of a classifier, all from its confusion matrix, with numpy alone.

Axis letters: N images, C classes. A class that is never predicted has precision 0, one without images recall 0;
no warning is given. A class that has no images and is never predicted takes part in no average. The definitions are
scikit-learn's (`zero_division=0`), which the tests compare with; it is not imported because it would add a second to
the start of every worker.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a named score of the records means: what is good, and on which scale differences count.

    Statistics are of its goodness, which is larger for what is better whatever the mode; what is shown is turned back.

    Attributes:
        name: In the records.
        mode: "max" if larger is better, else "min".
        transform: Scale of the statistics: "" for the score's own, "log" for positive ones, "logit" for shares.
        count: Of how many cases a share is; "logit" needs it, for shares of exactly 0 or 1.
        low: Smallest value there is.
        high: Largest value there is.
        margin: The largest difference of goodness that does not matter; None if nobody has said.
    """

    name: str
    mode: str = "max"
    transform: str = ""
    count: int = 0
    low: float = -math.inf
    high: float = math.inf
    margin: float | None = None

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").replace("train ", "training ")

    def goodness(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turns values into numbers of which larger ones are better; what the scale does not have becomes NaN."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.transform == "log":
                values = np.log(values)
            elif self.transform == "logit":
                shares = (self.count * values + 0.5) / (self.count + 1)
                values = np.log(shares / (1 - shares))
        return np.where(np.isfinite(values), values if self.mode == "max" else -values, math.nan)

    def value(self, goodness: float) -> float:
        """Turns a goodness back, into a value that there is."""
        value = goodness if self.mode == "max" else -goodness
        if self.transform == "log":
            value = math.exp(value)
        elif self.transform == "logit":
            value = ((self.count + 1) / (1 + math.exp(-value)) - 0.5) / self.count
        return min(max(value, self.low), self.high) if math.isfinite(value) else value


METRICS = {
    # The largest difference in accuracy that does not matter: stated in every report, chosen before looking.
    name: Metric(name=name, low=0.0, high=1.0, margin=0.001)
    for name in ("validation_accuracy", "train_accuracy")
}


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
