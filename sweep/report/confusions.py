"""Section 6: what the selected configuration confuses, and how the others compare."""

import itertools
import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweep.axes import Level, level_name
from sweep.figures import Picture, broken, confusion_matrix, difference_matrix, image_strip, wall
from sweep.report.document import Block, Drawing, Paragraph, Section, Table, section
from sweep.report.files import unused
from sweep.report.findings import MOST_SHOWN, Analysis
from sweep.report.formats import NONE, percent, several
from sweep.report.images import TestImages
from sweep.tables import bold

_MOST_IMAGES = 36


def confusion_section(analysis: Analysis) -> Section:
    """Matrices, pairs, scores by class, hard images, and a wall of small matrices."""
    images = analysis.images
    if images is None:
        text = "There are no predictions of a selected configuration to look at."
        return section("confusion", "Confusion", [Paragraph(text=text, kind="warning")])
    selected = images.predicted[0]
    seeds = several(len(analysis.grid.seeds), "seed")
    blocks: list[Block | None] = [
        Paragraph(
            text=f"On {several(len(images.y_true), 'test image')}, counts summed over {seeds}; each row of a matrix is "
            "divided by its sum. Rows are true classes, columns predicted ones."
        ),
        Drawing(
            picture=confusion_matrix(
                selected.confusion,
                target_names=images.target_names,
                name="confusion-selected",
                title=f"Confusion matrix of {selected.configuration.name}",
            ),
            caption=f"{bold(selected.configuration.name)} (selected): counts, and share of the true class.",
        ),
        _difference(images),
        *_tables(images),
        *_by_level(analysis, images),
        _wall(analysis, images),
        *_strips(images),
    ]
    return section("confusion", "Confusion", blocks)


def _difference(images: TestImages) -> Block:
    selected = images.predicted[0]
    if images.baseline is None:
        return Paragraph(text="There is no other configuration to compare its confusions with.", kind="note")
    baseline = images.predicted[images.baseline]
    picture = difference_matrix(
        selected.confusion,
        baseline.confusion,
        target_names=images.target_names,
        name="confusion-difference",
        title=f"Confusion of {selected.configuration.name} minus that of {baseline.configuration.name}",
    )
    smallest = baseline.configuration.parameters < selected.configuration.parameters
    why = "the first of the smallest models" if smallest else "the second in the ranking"
    return Drawing(
        picture=picture,
        caption=f"Selected minus {bold(baseline.configuration.name)} ({why}), in percentage points of the true class; "
        "blue: the selected is right more often or confuses less.",
    )


def _tables(images: TestImages) -> list[Block | None]:
    pairs = pd.DataFrame(
        [
            {
                "true": pair.true,
                "predicted": pair.predicted,
                "times": f"{pair.count:,}",
                "share of the true class (%)": percent(pair.share),
            }
            for pair in images.confused
        ]
    )
    scores = images.classes
    shown = {"precision (%)": scores.precision, "recall (%)": scores.recall, "F1 (%)": scores.f1}
    classes = pd.DataFrame(
        {
            "class": name,
            **{title: percent(float(score[c])) if scores.support[c] else NONE for title, score in shown.items()},
            "images": f"{int((images.y_true == c).sum()):,}",
        }
        for c, name in enumerate(images.target_names)
    )
    most: Block = Table(name="confused", title="Most confused pairs, selected configuration", shown=pairs, narrow=True)
    if pairs.empty:
        most = Paragraph(text="The selected configuration confuses no test image.")
    return [
        most,
        Table(
            name="classes",
            title="Precision, recall and F1 by class, selected configuration",
            shown=classes,
            folded=len(classes) > 20,
            narrow=len(classes) <= 20,
        ),
    ]


def _by_level(analysis: Analysis, images: TestImages) -> list[Block | None]:
    """The first of the ranking at each other level of the first axis."""
    axis = analysis.grid.axes[0].name
    seen = {images.predicted[0].configuration.levels[axis]}
    taken = ["best", "difference"]
    blocks: list[Block | None] = []
    for predicted in images.predicted[1:]:
        level = predicted.configuration.levels[axis]
        if level in seen or len(blocks) >= 3:
            continue
        seen.add(level)
        # Of the level's own name only what every file system takes.
        taken.append(unused(re.sub("[^A-Za-z0-9_.]+", "-", str(level.first))[:40].strip("-"), taken))
        picture = confusion_matrix(
            predicted.confusion,
            target_names=images.target_names,
            name=f"confusion-{taken[-1]}",
            title=f"Confusion matrix of {predicted.configuration.name}",
            width_in=4.9,
        )
        blocks.append(
            Drawing(picture=picture, caption=f"{bold(predicted.configuration.name)}, the first with {level}.")
        )
    return blocks


def _wall(analysis: Analysis, images: TestImages) -> Block:
    """A tile for every grid point, rows by the first axis, if that fits; else for the first of the ranking."""
    grid = analysis.grid
    axes = [axis.name for axis in grid.axes]
    confusion = {point.values: one.confusion for one in images.predicted for point in one.configuration.points}
    order = [point for point in grid.points if point.values in confusion]
    rows = [[point for point in order if point.values[0] == value] for value in grid.axes[0].values]
    rows = [row for row in rows if row]
    text = "Errors only, darker is more, one scale for all"
    complete = len(images.predicted) == len(analysis.entries)
    if complete and len(axes) > 1 and len({len(row) for row in rows}) == 1 and len(rows[0]) <= 9:
        names = [
            [level_name(axis, v) for axis, v in zip(axes, point.values, strict=True)] for row in rows for point in row
        ]
        texts = ["\n".join(broken(name, 13) for name in levels[1:]) for levels in names]
        matrices = [(text, confusion[point.values]) for text, point in zip(texts, itertools.chain(*rows), strict=True)]
        titles = [level_name(axes[0], row[0].values[0]) for row in rows]
        picture = wall(matrices, columns=len(rows[0]), titles=titles)
        return Drawing(picture=picture, caption=f"Confusion at every grid point; rows: {axes[0]}. {text}.")
    texts = ["\n".join(_short(level) for level in one.configuration.levels.values()) for one in images.predicted]
    matrices = [(text, one.confusion) for text, one in zip(texts, images.predicted, strict=True)]
    picture = wall(matrices, columns=8)
    which = "every configuration" if complete else f"the first {MOST_SHOWN} configurations"
    return Drawing(picture=picture, caption=f"Confusion of {which}, in the order of the ranking. {text}.")


def _short(level: Level) -> str:
    """Fits under a tile; what twins join is named by the first."""
    return broken(level.first, 15) + " =" * (len(level.values) > 1)


def _strips(images: TestImages) -> list[Block | None]:
    everywhere, only = images.wrong_everywhere, images.wrong_selected_only
    configurations = len(images.predicted)
    counted = (
        f"{several(len(everywhere), 'test image')} of {len(images.y_true):,} are wrong in every one of "
        f"{several(configurations, 'configuration')} (by a majority of its seeds)"
    )
    only_text = f"{several(len(only), 'image')} only in the selected one" if configurations > 1 else ""
    text = Paragraph(text=f"{counted}{'; ' if only_text else ''}{only_text}.")
    if images.images is None:
        data = Paragraph(text="The data are no images, so none is shown.", kind="note")
        return [text, data]
    blocks: list[Block | None] = [text]
    for indices, name, what in (
        (everywhere, "wrong-everywhere", "that every configuration gets wrong"),
        (only, "wrong-selected-only", "that only the selected configuration gets wrong"),
    ):
        if len(indices):
            shown = indices[_spread_out(len(indices))]
            kept = f"{len(shown)} of {len(indices)} test images" if len(shown) < len(indices) else "Test images"
            blocks.append(
                Drawing(
                    picture=_strip(images, shown, name, what),
                    caption=f"{kept} {what}: true → the wrong class that the selected one predicts most often.",
                )
            )
    return blocks


def _spread_out(count: int) -> NDArray[np.int64]:
    """Positions of at most `_MOST_IMAGES`, evenly over all: not the first, which may be sorted by class."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_IMAGES)).round().astype(np.int64))


def _strip(images: TestImages, indices: NDArray[np.int64], name: str, what: str) -> Picture:
    assert images.images is not None
    names, mistaken_for = images.target_names, images.predicted[0].mistaken_for
    texts = [f"{names[images.y_true[i]][:7]} → {names[mistaken_for[i]][:7]}" for i in indices]
    return image_strip(images.images[indices], texts, name=name, title=f"Test images {what}")
