"""What a named score means: what is good, on which scale differences count, and how it is written.

Imports the standard library only; tasks say which metrics they have.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NONE = "–"
SPLITS = ("train", "validation", "test")
_SPLIT_WORDS = {"train": "training"}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of a model on a split.

    Statistics are of its goodness, which is larger for what is better whatever the mode (`sweep.table`); what is shown
    is turned back.

    Attributes:
        name: In the records.
        mode: "max" if larger is better, else "min".
        unit: Behind a value; "%" for shares in [0, 1], which are shown as percent and differ by points.
        digits: Decimals of a value that is shown.
        transform: Scale of the statistics: "" for the score's own, "log" for positive ones, "logit" for shares.
        count: Of how many cases a share is; "logit" needs it, for shares of exactly 0 or 1.
        low: Smallest value there is, None for no limit.
        high: Largest value there is, None for no limit.
        margin: The largest difference of goodness that does not matter; None if nobody has said.
        splits: On which it is known; what is known on validation is known of every epoch, there and on train.
        listed: Whether the tables of results have it.
    """

    name: str
    mode: str = "max"
    unit: str = ""
    digits: int = 4
    transform: str = ""
    count: int = 0
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    splits: tuple[str, ...] = SPLITS
    listed: bool = True

    @property
    def title(self) -> str:
        """The name in words; one or two letters are an abbreviation, such as F1."""
        return self.name.replace("_", " ") if len(self.name) > 2 else self.name.upper()

    @property
    def best(self) -> str:
        """What the best of some values is among them."""
        return "largest" if self.mode == "max" else "smallest"

    @property
    def heading(self) -> str:
        """What stands behind the name of a column of values: " (%)"."""
        return f" ({self.unit})" if self.unit else ""

    @property
    def step(self) -> str:
        """What differences are counted in: points where values are percent."""
        return "points" if self.unit == "%" else self.unit

    @property
    def step_heading(self) -> str:
        """What stands behind the name of a column of differences: " (points)"."""
        return f" ({self.step})" if self.step else ""

    @property
    def step_in_full(self) -> str:
        """The same where nothing else says which points are meant."""
        return "percentage points" if self.unit == "%" else self.unit

    @property
    def factor(self) -> int:
        """What a value is multiplied by before it is shown."""
        return 100 if self.unit == "%" else 1

    def text(self, value: float) -> str:
        """A value as a table shows it: 0.98017 as "98.02" where the unit is percent."""
        return f"{self.factor * value:.{self.digits}f}" if math.isfinite(value) else NONE

    def phrase(self, value: float) -> str:
        """A value as a sentence shows it: "98.02 %"."""
        return f"{self.text(value)} {self.unit}".rstrip()

    def range(self, low: float, high: float) -> str:
        """An interval: "97.18 to 97.85"."""
        return f"{self.text(low)} to {self.text(high)}" if math.isfinite(low) else NONE

    def phrase_range(self, low: float, high: float) -> str:
        """An interval as a sentence shows it: "97.18 to 97.85 %"."""
        return f"{self.range(low, high)} {self.unit}".rstrip()

    def difference(self, difference: float, *, signed: bool = False) -> str:
        """A difference as a table shows it: 0.0013 as "0.13", with a third decimal where it would be lost."""
        if not math.isfinite(difference):
            return NONE
        shown = self.factor * difference
        digits = self.digits + (0 < abs(shown) < 0.95 * 10**-self.digits)
        return f"{shown:{'+' if signed else ''}.{digits}f}".replace("-", "−")

    def differ_by(self, difference: float, *, signed: bool = False) -> str:
        """A difference as a sentence shows it: "0.13 points"."""
        return f"{self.difference(difference, signed=signed)} {self.step}".rstrip()

    def difference_range(self, low: float, high: float) -> str:
        """An interval of a difference: "−0.10 to 0.33"."""
        return f"{self.difference(low)} to {self.difference(high)}" if math.isfinite(low) else NONE

    def turned(self, difference: float) -> float:
        """Turns a difference of goodness into one of values."""
        return difference if self.mode == "max" else -difference

    def value(self, goodness: float) -> float:
        """Turns a goodness back, into a value that there is."""
        value = goodness if self.mode == "max" else -goodness
        if self.transform == "log":
            value = math.exp(value)
        elif self.transform == "logit":
            value = ((self.count + 1) / (1 + math.exp(-value)) - 0.5) / self.count
        if not math.isfinite(value):
            return value
        value = value if self.low is None else max(value, self.low)
        return value if self.high is None else min(value, self.high)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A metric on a split: what a column of a table holds, and what can select."""

    metric: Metric
    split: str

    @property
    def column(self) -> str:
        """Its name in files and in `selection`; what is known on one split alone needs no split's name."""
        return self.metric.name if len(self.metric.splits) == 1 else f"{self.split}_{self.metric.name}"

    @property
    def title(self) -> str:
        """Its name in words."""
        word = _SPLIT_WORDS.get(self.split, self.split)
        return self.metric.title if len(self.metric.splits) == 1 else f"{word} {self.metric.title}"

    @property
    def heading(self) -> str:
        """The name of a column of its values: "test loss", "validation F1 (%)"."""
        return f"{self.title}{self.metric.heading}"

    def on(self, split: str) -> "Score":
        """The same metric on another split."""
        return Score(metric=self.metric, split=split)


# Every loop measures it; of a replicate trained beside others it is an equal share.
TRAIN_TIME = Metric(name="train_time_s", mode="min", unit="s", digits=1, low=0.0, splits=("train",))


def scores(metrics: Iterable[Metric]) -> list[Score]:
    """Every score that there is, metric by metric."""
    return [Score(metric=metric, split=split) for metric in metrics for split in metric.splits]


def history(metrics: Sequence[Metric]) -> list[Score]:
    """The scores that are known of every epoch, split by split."""
    curves = [metric for metric in metrics if "validation" in metric.splits]
    splits = ("train", "validation")
    return [Score(metric=metric, split=split) for split in splits for metric in curves if split in metric.splits]


def selecting(metrics: Sequence[Metric]) -> dict[str, Score]:
    """The scores that may select, by the name of their column: never one on the test split."""
    return {one.column: one for one in history(metrics)}
