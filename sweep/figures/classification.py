"""Pictures of confusions: matrices, their differences, a wall of small ones, and the images themselves.

Rows are true classes, columns predicted ones, and every row is divided by its sum, so classes of different sizes
compare. The diagonal is only written, for nearly all of it is right; colour is kept for what goes wrong.
Axis letters: C classes, N images.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from sweep.figures.drawing import (
    BAD,
    GOOD,
    NEUTRAL,
    Picture,
    broken,
    finish,
    line_count,
    panels,
    short,
    style,
    text_width,
)

# Beyond these many classes there is no room for numbers, or for the names of the classes.
_MOST_WITH_NUMBERS = 14
_MOST_WITH_NAMES = 40


def shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gives each row divided by its sum; a class without images is all zero."""
    totals = confusion.sum(axis=1, keepdims=True)
    share: NDArray[np.float64] = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    return share


def confusion_matrix(
    confusion: NDArray[np.int64], *, target_names: Sequence[str], name: str, title: str, width_in: float = 5.4
) -> Picture:
    """Draws one matrix: count and share of the true class in every cell that is not empty."""
    share = shares(confusion)
    classes = len(confusion)
    largest = _largest_error(share)
    colours = np.zeros((classes, classes, 4))
    colours[..., :3] = to_rgb(BAD)
    colours[..., 3] = 0.9 * np.sqrt(share / largest).clip(0, 1)
    colours[np.arange(classes), np.arange(classes)] = (*to_rgb(GOOD), 0.22)
    with style():
        figure, axes = _square(width_in, target_names)
        _cells(axes, colours, confusion > 0)
        if classes <= _MOST_WITH_NUMBERS:
            size = min(8.0, 62 / classes * width_in / 5.4 + 1.2)
            for (row, column), count in np.ndenumerate(confusion):
                if count:
                    text = f"{count:,}\n{_percent(float(share[row, column]))}"
                    axes.text(column + 0.5, row + 0.52, text, ha="center", va="center", fontsize=size, linespacing=1.05)
        return finish(figure, name=name, title=title)


def difference_matrix(
    better: NDArray[np.int64], baseline: NDArray[np.int64], *, target_names: Sequence[str], name: str, title: str
) -> Picture:
    """Draws the row-normalised difference of two matrices in percentage points; blue is better, orange worse."""
    difference = 100 * (shares(better) - shares(baseline))
    classes = len(difference)
    good = np.where(np.eye(classes, dtype=bool), difference, -difference)
    largest = np.abs(difference).max() or 1.0
    colours = np.empty((classes, classes, 4))
    colours[..., :3] = np.where((good > 0)[..., None], to_rgb(GOOD), to_rgb(BAD))
    colours[..., 3] = 0.9 * np.sqrt(np.abs(difference) / largest)
    shown = np.abs(difference) >= 0.005
    with style():
        figure, axes = _square(5.4, target_names)
        _cells(axes, colours, shown)
        if classes <= _MOST_WITH_NUMBERS:
            for (row, column), value in np.ndenumerate(difference):
                if shown[row, column]:
                    axes.text(
                        column + 0.5, row + 0.5, f"{value:+.2f}".replace("-", "−"), ha="center", va="center", fontsize=7
                    )
        return finish(figure, name=name, title=title)


def wall(
    matrices: Sequence[tuple[str, NDArray[np.int64]]], *, columns: int, titles: Sequence[str] = (), name: str = "wall"
) -> Picture:
    """Draws many matrices as small tiles, errors only, with one colour scale.

    Args:
        matrices: Text under the tile and counts `[C, C]`.
        columns: Tiles side by side.
        titles: At the left of each row of tiles, if any.
        name: Of the file.
    """
    share = [shares(confusion) for _, confusion in matrices]
    # The clearest errors of the worst tile saturate; one freak cell must not fade all others.
    errors = np.concatenate([tile[~np.eye(len(tile), dtype=bool)] for tile in share])
    largest = max(float(np.percentile(errors, 99.5)), 1e-9)
    rows = math.ceil(len(matrices) / columns)
    with style():
        left = 0.75 if titles else 0.05
        tile_in = (6.6 - left) / columns
        under = 0.08 + 0.095 * line_count(text for text, _ in matrices)
        figure, grid = panels(6.6, rows * (tile_in + under), left=0, bottom=0, right=0, top=0)
        axes = grid[0, 0]
        height = 1 + under / tile_in
        for number, ((text, _), tile) in enumerate(zip(matrices, share, strict=True)):
            row, column = divmod(number, columns)
            pixels = np.zeros((*tile.shape, 4), dtype=np.uint8)
            pixels[..., :3] = np.round(np.array(to_rgb(BAD)) * 255)
            pixels[..., 3] = np.round(255 * np.sqrt(tile / largest).clip(0, 1))
            diagonal = np.arange(len(tile))
            pixels[diagonal, diagonal] = (*(round(255 * part) for part in to_rgb(NEUTRAL)), 90)
            x, y = column, row * height
            extent = (x + 0.04, x + 0.96, y + 0.96, y + 0.04)
            axes.imshow(pixels, extent=extent, interpolation="none", origin="upper", aspect="auto")
            axes.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fill=False, edgecolor=NEUTRAL, lw=0.5))
            axes.text(x + 0.5, y + 1.0, text, ha="center", va="top", fontsize=6.2, linespacing=1.1)
        for row, title in enumerate(titles):
            label = broken(title, 9)
            axes.text(-left / tile_in + 0.05, row * height + 0.5, label, va="center", weight="bold", fontsize=8.5)
        axes.set_xlim(-left / tile_in, columns)
        axes.set_ylim(rows * height, 0)
        axes.set_axis_off()
        return finish(
            figure, name=name, title="Errors of every configuration: confusion matrices, rows true, columns predicted"
        )


def image_strip(
    images: NDArray[np.uint8], texts: Sequence[str], *, name: str, title: str, columns: int = 12
) -> Picture:
    """Draws test images side by side, each with a text under it, as one small raster."""
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1:3]
    colour = images.shape[3:] if images.ndim == 4 else ()
    sheet = np.zeros((rows * height, columns * width, *colour), dtype=np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = image
    sheet = sheet[..., 0] if sheet.ndim == 3 and sheet.shape[2] == 1 else sheet
    with style():
        tile_in = 6.6 / columns
        figure, grid = panels(6.6, rows * (tile_in + 0.24), left=0, bottom=0, right=0, top=0)
        axes = grid[0, 0]
        step = 1 + 0.24 / tile_in
        for row in range(rows):
            strip = sheet[row * height : (row + 1) * height]
            filled = min(columns, len(images) - row * columns)
            axes.imshow(
                strip[:, : filled * width],
                cmap="gray_r" if strip.ndim == 2 else None,
                vmin=0,
                vmax=255,
                extent=(0, filled, row * step + 0.97, row * step),
                interpolation="none",
                aspect="auto",
            )
        for number, text in enumerate(texts):
            row, column = divmod(number, columns)
            axes.text(column + 0.5, row * step + 1.05, text, ha="center", va="top", fontsize=7.5)
        axes.set_xlim(0, columns)
        axes.set_ylim(rows * step, 0)
        axes.set_axis_off()
        return finish(figure, name=name, title=title)


def _cells(axes: Axes, colours: NDArray[np.float64], shown: NDArray[np.bool_]) -> None:
    """Squares for the cells that have something to show; of many classes one raster instead of many paths."""
    if len(colours) > _MOST_WITH_NUMBERS:
        pixels = np.where(shown[..., None], np.round(255 * colours), 0).astype(np.uint8)
        size = len(colours)
        axes.imshow(pixels, extent=(0, size, size, 0), interpolation="none", origin="upper")
        return
    places = [(int(row), int(column)) for row, column in np.argwhere(shown)]
    squares = [Rectangle((column, row), 1, 1) for row, column in places]
    faces = [tuple(colours[place]) for place in places]
    axes.add_collection(PatchCollection(squares, facecolors=faces, edgecolors="none"))
    size = len(colours)
    if size <= _MOST_WITH_NAMES:
        ends = [((0, line), (size, line)) for line in range(size + 1)] + [
            ((line, 0), (line, size)) for line in range(size + 1)
        ]
        axes.add_collection(LineCollection(ends, colors=NEUTRAL, linewidths=0.3, alpha=0.5))
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)
    axes.set_aspect("equal")


def _square(width_in: float, target_names: Sequence[str]) -> tuple[Figure, Axes]:
    """A square of cells with room for the names of the classes at its left and, if long, upright below it."""
    named = len(target_names) <= _MOST_WITH_NAMES
    target_names = [short(name, 24) for name in target_names]
    left = 0.32 + (text_width(target_names) if named else 0.0)
    side = width_in - left - 0.05
    below = 0.42 + (max(text_width(target_names) - 0.1, 0) if named and _upright(target_names, side) else 0.0)
    figure, grid = panels(width_in, side + below + 0.05, left=left, bottom=below, right=0.05, top=0.05)
    axes: Axes = grid[0, 0]
    if named:
        places = np.arange(len(target_names)) + 0.5
        axes.set_xticks(places, target_names, rotation=90 if _upright(target_names, side) else 0)
        axes.set_yticks(places, target_names)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return figure, axes


def _upright(target_names: Sequence[str], side_in: float) -> bool:
    return text_width(target_names) > 0.9 * side_in / len(target_names)


def _largest_error(share: NDArray[np.float64]) -> float:
    errors = share[~np.eye(len(share), dtype=bool)]
    return float(errors.max()) if errors.size and errors.max() > 0 else 1.0


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 0.095 else f"{percent:.2f} %"
