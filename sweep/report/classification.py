"""What only a classification has to say: confusions, hard images, and who gets which wrong.

Reads the predictions one trial at a time. Axis letters: S seeds, N test images, C classes.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.axes import Level
from sweep.figures.classification import confusion_matrix, difference_matrix, image_strip, shares, wall
from sweep.figures.drawing import Picture, broken
from sweep.metrics import NONE, Score
from sweep.records import State
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Drawing, Section, Table, note, section, table, warning
from sweep.report.files import unused
from sweep.report.findings import MOST_SHOWN
from sweep.report.formats import SHARE, listed, several
from sweep.report.text import bold
from sweep.table import Configuration
from sweep.tasks.classification import ARRAYS, class_scores

_MOST_IMAGES, _MOST_PAIRS, _MOST_LEVELS, _MOST_COLUMNS, _MOST_CLASSES = 36, 10, 3, 9, 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """The predictions of one configuration.

    Attributes:
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """The test images, and what the first configurations of the ranking take them for, the selected one first.

    `pixels` are `[N, height, width]` or with colours, None if the data are no images.
    """

    target_names: tuple[str, ...]
    y_true: NDArray[np.int64]
    pixels: NDArray[np.uint8] | None
    predicted: tuple[Predicted, ...]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """What more than half of the replicates of each configuration get wrong, `[configurations, N]`."""
        return np.stack([2 * one.correct.sum(axis=0) < len(one.correct) for one in self.predicted])


class Classification:
    """See `sweep.report.analysis.OfTask`; of the first configurations of the ranking."""

    def __init__(self, state: State, ranked: Sequence[Configuration]) -> None:
        self.images = _read(state, ranked)

    def case_scores(self, score: Score) -> NDArray[np.bool_] | None:
        """Whether each replicate of the selected configuration is right, for the accuracy alone."""
        return self.images.predicted[0].correct if self.images and score.metric.name == "accuracy" else None

    def doubts(self) -> list[str]:
        """The classes that the selected configuration does not know."""
        if not self.images or not (never := self.images.predicted[0].never).any():
            return []
        names = listed([f"class {self.images.target_names[label]}" for label in np.flatnonzero(never.any(axis=0))])
        which = f" in {never.any(axis=1).sum()} of {several(len(never), 'seed')}" if len(never) > 1 else ""
        return [f"the selected configuration never predicts {names}{which}"]

    def details(self) -> dict[str, str]:
        """How many others do not know a class."""
        others = self.images.predicted[1:] if self.images else ()
        concerned = sum(bool(one.never.any()) for one in others)
        never = f"{concerned} never {'predicts' if concerned == 1 else 'predict'} some class of the test images"
        text = f"Of {several(len(others), 'other configuration')}, {never}, in one seed or more."
        return {"never_predicted": text} if concerned else {}

    def beside(self, other: Configuration) -> dict[str, str]:
        """How many images only the selected configuration gets wrong, and only the other."""
        correct = {id(one.configuration): one.correct for one in self.images.predicted} if self.images else {}
        second, wrong = correct.get(id(other)), NONE
        if self.images and second is not None and len(second) == len(first := self.images.predicted[0].correct):
            only = [(~first & second).sum(axis=1).mean(), (first & ~second).sum(axis=1).mean()]
            wrong = f"{only[0]:.1f} / {only[1]:.1f}"
        return {"wrong test images, mean over seeds: only selected / only other": wrong}

    def section(self, analysis: Analysis) -> Section:
        """Matrices, pairs, scores by class, hard images, and a wall of small matrices."""
        if self.images is None:
            text = "There are no predictions of a selected configuration to look at."
            return section("confusion", "Confusion", [warning(text)])
        images, seeds = self.images, several(len(analysis.grid.seeds), "seed")
        text = f"On {several(len(images.y_true), 'test image')}, counts summed over {seeds}; each row of a matrix is "
        blocks = [
            f"{text}divided by its sum. Rows are true classes, columns predicted ones.",
            _matrix(images, images.predicted[0], "selected", " (selected): counts, and share of the true class."),
            _difference(images),
            _most_confused(images),
            _by_class(images),
            *_by_level(analysis, images),
            _wall(analysis, images),
            *_hard(images),
        ]
        return section("confusion", "Confusion", blocks)


def _read(state: State, ranked: Sequence[Configuration]) -> Images | None:
    """Reads the predictions of some configurations, best first; None if there is nothing to read."""
    target_names = state.manifest.dataset.target_names
    predicted = []
    try:
        pixels, y_true = state.experiment.read_test_split()
        if not np.isin(y_true, np.arange(len(target_names))).all():
            return None
        # Without those of the selected one there is nothing to compare with.
        for configuration in ranked[:1]:
            predicted.append(_predicted(state, configuration, y_true, len(target_names)))
    except (FileNotFoundError, ValueError):
        return None
    for configuration in ranked[1:]:
        with contextlib.suppress(FileNotFoundError, ValueError):
            predicted.append(_predicted(state, configuration, y_true, len(target_names)))
    shown = pixels if pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[-1] in (1, 3)) else None
    images = Images(target_names=target_names, y_true=y_true, pixels=shown, predicted=tuple(predicted))
    return images if predicted else None


def _predicted(state: State, configuration: Configuration, y_true: NDArray[np.int64], classes: int) -> Predicted:
    read: dict[str, Mapping[str, NDArray[Any]]] = {}
    rows, counts = [], []
    for replicate in configuration.trained:
        if replicate.trial_id not in read:
            read[replicate.trial_id] = state.experiment.read_predictions(replicate.trial_id, ARRAYS)
        arrays = read[replicate.trial_id]
        if arrays["test_logits"].shape != (len(replicate.record.replicates), len(y_true), classes):
            raise ValueError(f"the predictions of {replicate.trial_id} are not of this test split")
        rows.append(arrays["y_pred"][replicate.row])
        counts.append(arrays["test_confusion"][replicate.row])
    y_pred, confusions = np.stack(rows), np.stack(counts)
    votes = np.stack([(y_pred == label).sum(axis=0) for label in range(classes)])
    votes[y_true, np.arange(len(y_true))] = -1
    return Predicted(
        configuration=configuration,
        correct=y_pred == y_true,
        confusion=confusions.sum(axis=0).astype(np.int64),
        mistaken_for=votes.argmax(axis=0),
        never=np.asarray(confusions.any(axis=2) & ~confusions.any(axis=1)),
    )


def _matrix(images: Images, one: Predicted, name: str, what: str, **options: Any) -> Drawing:
    options |= {"name": f"confusion-{name}", "title": f"Confusion matrix of {one.configuration.name}"}
    picture = confusion_matrix(one.confusion, target_names=images.target_names, **options)
    return Drawing(picture=picture, caption=f"{bold(one.configuration.name)}{what}")


def _difference(images: Images) -> Content:
    """From the best of the smallest models, or from the second in the ranking if the selected one is that itself."""
    if len(images.predicted) < 2:
        return note("There is no other configuration to compare its confusions with.")
    selected = images.predicted[0]
    sizes = [one.configuration.parameters for one in images.predicted]
    other = images.predicted[sizes.index(min(sizes)) or 1]
    name, baseline = selected.configuration.name, other.configuration.name
    options = {"name": "confusion-difference", "title": f"Confusion of {name} minus that of {baseline}"}
    picture = difference_matrix(selected.confusion, other.confusion, target_names=images.target_names, **options)
    smaller = other.configuration.parameters < selected.configuration.parameters
    why = "the first of the smallest models" if smaller else "the second in the ranking"
    return Drawing(
        picture=picture,
        caption=f"Selected minus {bold(baseline)} ({why}), in percentage points of the true class; blue: the selected "
        "is right more often or confuses less.",
    )


def _most_confused(images: Images) -> Content:
    confusion = images.predicted[0].confusion
    errors = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-errors, axis=None, kind="stable")[:_MOST_PAIRS]
    places = [np.unravel_index(flat, errors.shape) for flat in order if errors.flat[flat]]
    rows = [
        {
            "true": images.target_names[place[0]],
            "predicted": images.target_names[place[1]],
            "times": f"{errors[place]:,}",
            "share of the true class (%)": SHARE.text(float(shares(confusion)[place])),
        }
        for place in places
    ]
    if not rows:
        return "The selected configuration confuses no test image."
    title = "Most confused pairs, selected configuration"
    return table("confused", title, rows, narrow=True)


def _by_class(images: Images) -> Table:
    found = class_scores(images.predicted[0].confusion)
    columns = {"precision (%)": found.precision, "recall (%)": found.recall, "F1 (%)": found.f1}
    rows = [
        {"class": name}
        | {title: SHARE.text(float(scores[c])) if found.support[c] else NONE for title, scores in columns.items()}
        | {"images": f"{(images.y_true == c).sum():,}"}
        for c, name in enumerate(images.target_names)
    ]
    many = len(rows) > _MOST_CLASSES
    title = "Precision, recall and F1 by class, selected configuration"
    return table("classes", title, rows, folded=many, narrow=not many)


def _by_level(analysis: Analysis, images: Images) -> list[Drawing]:
    """The first of the ranking at each other level of the first axis."""
    axis = analysis.grid.axes[0].name
    seen = {images.predicted[0].configuration.levels[axis]}
    taken, drawings = ["best", "difference"], list[Drawing]()
    for one in images.predicted[1:]:
        level = one.configuration.levels[axis]
        if level in seen or len(drawings) >= _MOST_LEVELS:
            continue
        seen.add(level)
        # Of the level's own name only what every file system takes.
        taken.append(unused(re.sub("[^A-Za-z0-9_.]+", "-", str(level.first))[:40].strip("-"), taken))
        drawings.append(_matrix(images, one, taken[-1], f", the first with {level}.", width_in=4.9))
    return drawings


def _wall(analysis: Analysis, images: Images) -> Drawing:
    """A tile for every grid point, rows by the first axis, if that fits; else for the first of the ranking."""
    grid, text = analysis.grid, "Errors only, darker is more, one scale for all"
    confusion = {point.values: one.confusion for one in images.predicted for point in one.configuration.points}
    order = [point for point in grid.points if point.values in confusion]
    rows = [[point for point in order if point.values[0] == value] for value in grid.axes[0].values]
    rows = [row for row in rows if row]
    complete = len(images.predicted) == len(analysis.entries)
    if complete and len(grid.axes) > 1 and len({len(row) for row in rows}) == 1 and len(rows[0]) <= _MOST_COLUMNS:
        tiles = [
            ("\n".join(broken(str(level), 13) for level in point.levels[1:]), confusion[point.values])
            for row in rows
            for point in row
        ]
        picture = wall(tiles, columns=len(rows[0]), titles=[str(row[0].levels[0]) for row in rows])
        return Drawing(picture=picture, caption=f"Confusion at every grid point; rows: {grid.axes[0].name}. {text}.")

    def short(level: Level) -> str:
        return broken(level.first, 15) + " =" * (len(level.values) > 1)

    named = [("\n".join(map(short, one.configuration.levels.values())), one.confusion) for one in images.predicted]
    which = "every configuration" if complete else f"the first {MOST_SHOWN} configurations"
    caption = f"Confusion of {which}, in the order of the ranking. {text}."
    return Drawing(picture=wall(named, columns=8), caption=caption)


def _hard(images: Images) -> list[Content]:
    """The images that every configuration gets wrong, and those that only the selected one does."""
    wrong, count = images.wrong, len(images.predicted)
    everywhere = np.flatnonzero(wrong.all(axis=0))
    only = np.flatnonzero(wrong[0] & ~wrong[1:].any(axis=0)) if count > 1 else np.arange(0)
    counted = f"{several(len(everywhere), 'test image')} of {len(images.y_true):,} are wrong in every one of "
    counted += f"{several(count, 'configuration')} (by a majority of its seeds)"
    counted += f"; {several(len(only), 'image')} only in the selected one" if count > 1 else ""
    text = f"{counted}."
    if images.pixels is None:
        return [text, note("The data are no images, so none is shown.")]
    return [
        text,
        _strip(images, images.pixels, everywhere, "wrong-everywhere", "that every configuration gets wrong"),
        _strip(images, images.pixels, only, "wrong-selected-only", "that only the selected configuration gets wrong"),
    ]


def _strip(images: Images, pixels: NDArray[np.uint8], wrong: NDArray[np.int64], name: str, what: str) -> Drawing | None:
    if not len(wrong):
        return None
    # Evenly over all: the first may be sorted by class.
    spread_out = np.linspace(0, len(wrong) - 1, min(len(wrong), _MOST_IMAGES)).round().astype(np.int64)
    shown = wrong[np.unique(spread_out)]
    names, mistaken_for = images.target_names, images.predicted[0].mistaken_for
    texts = [f"{names[images.y_true[i]][:7]} → {names[mistaken_for[i]][:7]}" for i in shown]
    picture: Picture = image_strip(pixels[shown], texts, name=name, title=f"Test images {what}")
    kept = f"{len(shown)} of {len(wrong)} test images" if len(shown) < len(wrong) else "Test images"
    caption = f"{kept} {what}: true → the wrong class that the selected one predicts most often."
    return Drawing(picture=picture, caption=caption)
