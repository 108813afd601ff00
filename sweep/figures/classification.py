"""Pictures of confusions: matrices, their differences, a wall of small ones, and the images themselves.

Rows are true classes, columns predicted ones, and every row is divided by its sum, so classes of different sizes
compare. The diagonal is only written, for nearly all of it is right; colour is kept for what goes wrong.
Axis letters: C classes, N images.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from sweep.figures import drawing
from sweep.figures.drawing import BAD, GOOD, NEUTRAL, WIDTH_IN, Picture, broken, short, text_width

# Beyond these many classes there is no room for numbers, or for the names of the classes.
_MOST_WITH_NUMBERS, _MOST_WITH_NAMES = 14, 40
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
_UNDER: dict[str, Any] = {"ha": "center", "va": "top"}


def shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gives each row divided by its sum; a class without images is all zero."""
    totals = confusion.sum(axis=1, keepdims=True)
    share: NDArray[np.float64] = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    return share


def confusion_matrix(
    confusion: NDArray[np.int64], *, target_names: Sequence[str], name: str, title: str, width_in: float = 5.4
) -> Picture:
    """Draws one matrix: count and share of the true class in every cell that is not empty."""
    share, classes = shares(confusion), len(confusion)
    largest = share[~np.eye(classes, dtype=bool)].max(initial=0.0) or 1.0
    colours = np.zeros((classes, classes, 4))
    colours[..., :3] = to_rgb(BAD)
    colours[..., 3] = 0.9 * np.sqrt(share / largest).clip(0, 1)
    colours[np.arange(classes), np.arange(classes)] = (*to_rgb(GOOD), 0.22)
    with drawing.style():
        figure, axes = _square(width_in, target_names)
        _cells(axes, colours, confusion > 0)
        size = min(8.0, 62 / classes * width_in / 5.4 + 1.2)
        for row, column in np.argwhere(confusion > 0).tolist() if classes <= _MOST_WITH_NUMBERS else ():
            text = f"{confusion[row, column]:,}\n{_percent(float(share[row, column]))}"
            axes.text(column + 0.5, row + 0.52, text, fontsize=size, linespacing=1.05, **_CENTRED)
        return drawing.finish(figure, name=name, title=title)


def difference_matrix(
    better: NDArray[np.int64], baseline: NDArray[np.int64], *, target_names: Sequence[str], name: str, title: str
) -> Picture:
    """Draws the row-normalised difference of two matrices in percentage points; blue is better, orange worse."""
    difference = 100 * (shares(better) - shares(baseline))
    classes = len(difference)
    good = np.where(np.eye(classes, dtype=bool), difference, -difference)
    colours = np.empty((classes, classes, 4))
    colours[..., :3] = np.where((good > 0)[..., None], to_rgb(GOOD), to_rgb(BAD))
    colours[..., 3] = 0.9 * np.sqrt(np.abs(difference) / (np.abs(difference).max() or 1.0))
    shown = np.abs(difference) >= 0.005
    with drawing.style():
        figure, axes = _square(5.4, target_names)
        _cells(axes, colours, shown)
        for row, column in np.argwhere(shown).tolist() if classes <= _MOST_WITH_NUMBERS else ():
            text = f"{difference[row, column]:+.2f}".replace("-", "−")
            axes.text(column + 0.5, row + 0.5, text, fontsize=7, **_CENTRED)
        return drawing.finish(figure, name=name, title=title)


def wall(matrices: Sequence[tuple[str, NDArray[np.int64]]], *, columns: int, titles: Sequence[str] = ()) -> Picture:
    """Draws many matrices as small tiles, errors only, with one colour scale.

    Args:
        matrices: Text under the tile and counts `[C, C]`.
        columns: Tiles side by side.
        titles: At the left of each row of tiles, if any.
    """
    share = [shares(confusion) for _, confusion in matrices]
    # The clearest errors of the worst tile saturate; one freak cell must not fade all others.
    errors = np.concatenate([tile[~np.eye(len(tile), dtype=bool)] for tile in share])
    largest = max(float(np.percentile(errors, 99.5)), 1e-9)
    rows, left = math.ceil(len(matrices) / columns), 0.75 if titles else 0.05
    tile_in, under = (WIDTH_IN - left) / columns, 0.08 + 0.095 * drawing.line_count(text for text, _ in matrices)
    height = 1 + under / tile_in
    with drawing.style():
        figure, axes = _bare(rows * (tile_in + under))
        for number, ((text, _), tile) in enumerate(zip(matrices, share, strict=True)):
            row, x = divmod(number, columns)
            y, diagonal = row * height, np.arange(len(tile))
            pixels = np.zeros((*tile.shape, 4), dtype=np.uint8)
            pixels[..., :3] = np.round(np.array(to_rgb(BAD)) * 255)
            pixels[..., 3] = np.round(255 * np.sqrt(tile / largest).clip(0, 1))
            pixels[diagonal, diagonal] = (*(round(255 * part) for part in to_rgb(NEUTRAL)), 90)
            extent = (x + 0.04, x + 0.96, y + 0.96, y + 0.04)
            axes.imshow(pixels, extent=extent, interpolation="none", origin="upper", aspect="auto")
            axes.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fill=False, edgecolor=NEUTRAL, lw=0.5))
            axes.text(x + 0.5, y + 1.0, text, fontsize=6.2, linespacing=1.1, **_UNDER)
        for row, title in enumerate(titles):
            place = (-left / tile_in + 0.05, row * height + 0.5)
            axes.text(*place, broken(title, 9), va="center", weight="bold", fontsize=8.5)
        axes.set_xlim(-left / tile_in, columns)
        axes.set_ylim(rows * height, 0)
        title = "Errors of every configuration: confusion matrices, rows true, columns predicted"
        return drawing.finish(figure, name="wall", title=title)


def image_strip(
    images: NDArray[np.uint8], texts: Sequence[str], *, name: str, title: str, columns: int = 12
) -> Picture:
    """Draws test images `[N, height, width]`, or with colours, side by side, each with a text under it."""
    images = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    rows, tile_in = math.ceil(len(images) / columns), WIDTH_IN / columns
    step, look = 1 + 0.24 / tile_in, "gray_r" if images.ndim == 3 else None
    with drawing.style():
        figure, axes = _bare(rows * (tile_in + 0.24))
        for row in range(rows):
            shown = images[row * columns : (row + 1) * columns]
            strip, extent = np.concatenate(shown, axis=1), (0, len(shown), row * step + 0.97, row * step)
            axes.imshow(strip, cmap=look, vmin=0, vmax=255, extent=extent, interpolation="none", aspect="auto")
        for number, text in enumerate(texts):
            row, column = divmod(number, columns)
            axes.text(column + 0.5, row * step + 1.05, text, fontsize=7.5, **_UNDER)
        axes.set_xlim(0, columns)
        axes.set_ylim(rows * step, 0)
        return drawing.finish(figure, name=name, title=title)


def _bare(height_in: float) -> tuple[Figure, Axes]:
    figure, grid = drawing.panels(WIDTH_IN, height_in, margins=(0, 0, 0, 0))
    grid[0, 0].set_axis_off()
    return figure, grid[0, 0]


def _cells(axes: Axes, colours: NDArray[np.float64], shown: NDArray[np.bool_]) -> None:
    """Squares for the cells that have something to show; of many classes one raster instead of many paths."""
    size = len(colours)
    if size > _MOST_WITH_NUMBERS:
        pixels = np.where(shown[..., None], np.round(255 * colours), 0).astype(np.uint8)
        axes.imshow(pixels, extent=(0, size, size, 0), interpolation="none", origin="upper")
        return
    places = [(int(row), int(column)) for row, column in np.argwhere(shown)]
    squares = [Rectangle((column, row), 1, 1) for row, column in places]
    faces = [tuple(colours[place]) for place in places]
    axes.add_collection(PatchCollection(squares, facecolors=faces, edgecolors="none"))
    across = [((0, line), (size, line)) for line in range(size + 1)]
    down = [((line, 0), (line, size)) for line in range(size + 1)]
    axes.add_collection(LineCollection([*across, *down], colors=NEUTRAL, linewidths=0.3, alpha=0.5))
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)
    axes.set_aspect("equal")


def _square(width_in: float, target_names: Sequence[str]) -> tuple[Figure, Axes]:
    """A square of cells with room for the names of the classes at its left and, if long, upright below it."""
    names = [short(name, 24) for name in target_names] if len(target_names) <= _MOST_WITH_NAMES else []
    left = 0.32 + (text_width(names) if names else 0.0)
    side = width_in - left - 0.05
    upright = bool(names) and text_width(names) > 0.9 * side / len(names)
    below = 0.42 + (max(text_width(names) - 0.1, 0) if upright else 0.0)
    figure, grid = drawing.panels(width_in, side + below + 0.05, margins=(left, below, 0.05, 0.05))
    axes: Axes = grid[0, 0]
    places = np.arange(len(names)) + 0.5
    axes.set_xticks(places, names, rotation=90 if upright else 0)
    axes.set_yticks(places, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return figure, axes


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 0.095 else f"{percent:.2f} %"
