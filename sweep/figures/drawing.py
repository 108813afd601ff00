"""What all pictures share: colours of levels, sizes, names that fit, and turning a figure into a small SVG.

Pictures have a transparent ground and draw their ink in the colour of the surrounding text, so that they suit a
light and a dark page alike. Nothing here uses pyplot or its global state.
"""

import io
import re
import textwrap
import unicodedata
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from sweep.axes import Axis, Level
from sweep.metrics import Metric

# Replaced by `currentColor` once the SVG is written; no picture may use it for anything else.
INK = "#010203"
WIDTH_IN = 6.6
GOOD, BAD, NEUTRAL = "#3182bd", "#d95f0e", "#8c8c8c"
_INK_ON_WHITE = "#222222"
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"

# Paul Tol's bright, vibrant and muted schemes, each safe for colour-blind readers (Source: his technical note
# SRON/EPS/TN/09-002); one scheme per axis, so that no two levels of a small grid share a colour.
_SCHEMES = (
    ("#4477aa", "#66ccee", "#aa3377", "#bbbb33", "#228833", "#999999"),
    ("#ee6677", "#228833", "#ccbb44", "#332288", "#88ccee", "#999999"),
    ("#ee7733", "#009988", "#7f7fd5", "#cc3311", "#33bbee", "#999999"),
)
_MARKERS = "osD^vP*X<>"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))

_MOST_LINES = 8

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "figure.facecolor": "none",
    "grid.color": NEUTRAL,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "hatch.color": NEUTRAL,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "savefig.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,  # a name with "$" is no formula
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A finished picture.

    Attributes:
        name: Of its file, and prefix of the ids in it; letters, digits, `_`, `.` and `-`.
        svg: An `<svg>` element whose ink is `currentColor`.
        title: What it shows, in words.
        width_px: At which it is meant to be read.
    """

    name: str
    svg: str
    title: str
    width_px: int

    def __html__(self) -> str:
        """Gives the element for a page; what wrote it has escaped every text in it."""
        return self.svg

    def file(self) -> str:
        """Gives a file that stands alone: dark ink on white, as GitHub shows it to everybody."""
        svg = self.svg.replace("currentColor", _INK_ON_WHITE)
        ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
        head, rest = svg.split(">", 1)
        return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>{ground}{rest}\n'


class Palette:
    """The colour, marker and dash of every level, the same in every picture.

    Args:
        axes: In order.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._places = {
            (axis.name, value): (number, position)
            for number, axis in enumerate(axes)
            for position, value in enumerate(axis.values)
        }

    def colour(self, level: Level) -> str:
        """Gives the colour of a level; levels that twins join have that of the first."""
        number, position = self._places[level.axis, level.values[0]]
        scheme = _SCHEMES[number % len(_SCHEMES)]
        return scheme[position % len(scheme)]

    def marker(self, level: Level) -> str:
        """Gives the marker of a level."""
        return _MARKERS[self.position(level) % len(_MARKERS)]

    def dash(self, level: Level) -> Any:
        """Gives the dash of a level's line."""
        return _DASHES[self.position(level) % len(_DASHES)]

    def position(self, level: Level) -> int:
        """Gives the place of a level among those of its axis."""
        return self._places[level.axis, level.values[0]][1]


def style() -> Any:
    """Gives the context in which a picture is drawn and written."""
    return mpl.rc_context(_STYLE)  # type: ignore[arg-type]


def panels(
    width_in: float,
    height_in: float,
    *,
    rows: int = 1,
    columns: int = 1,
    left: float,
    bottom: float,
    right: float = 0.08,
    top: float = 0.08,
    gap: tuple[float, float] = (0.12, 0.12),
    share_x: bool = False,
    share_y: bool = False,
) -> tuple[Figure, NDArray[np.object_]]:
    """Gives a figure and its axes `[rows, columns]`; margins and gaps (between rows, columns) in inches.

    matplotlib's own layout engines draw everything twice to learn its size, half the time of a report.
    """
    figure = Figure(figsize=(width_in, height_in))
    inner_width = (width_in - left - right - gap[1] * (columns - 1)) / columns
    inner_height = (height_in - bottom - top - gap[0] * (rows - 1)) / rows
    grid = figure.subplots(
        rows,
        columns,
        squeeze=False,
        sharex=share_x,
        sharey=share_y,
        gridspec_kw={
            "left": left / width_in,
            "right": 1 - right / width_in,
            "bottom": bottom / height_in,
            "top": 1 - top / height_in,
            "wspace": gap[1] / inner_width,
            "hspace": gap[0] / inner_height,
        },
    )
    return figure, grid


def legend(where: Axes | Figure, entries: Iterable[tuple[Artist, str]], **options: Any) -> None:
    """Adds a legend; matplotlib itself would leave out a name that begins with an underscore."""
    artists, names = zip(*entries, strict=True)
    box = where.legend(artists, ["-"] * len(artists), **options)
    for text, name in zip(box.get_texts(), names, strict=True):
        text.set_text(name)


def finish(figure: Figure, *, name: str, title: str) -> Picture:
    """Turns a figure into a picture."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # A browser has the letters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
    width_px, height_px = (round(inches * 96) for inches in figure.get_size_inches())
    return Picture(
        name=name, svg=_small(buffer.getvalue(), name, title, width_px, height_px), title=title, width_px=width_px
    )


def rows_of(axes: Axes, names: Sequence[str], top: float = -0.6) -> None:
    """Gives a picture a named row for each of its values, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, top)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def metric_axis(axes: Axes, metric: Metric, which: str = "y") -> None:
    """Shows values of a metric along an axis in its unit, with as many decimals as needed."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{metric.factor * value:.6g}"))


def text_width(texts: Iterable[str], size: float = 8) -> float:
    """Gives the room in inches that the longest line of some texts needs, on the generous side."""
    return max((_letters(line) for text in texts for line in text.split("\n")), default=0) * 0.58 * size / 72


def line_count(texts: Iterable[str]) -> int:
    """Gives the number of lines of the text that has most."""
    return max(text.count("\n") + 1 for text in texts)


def short(name: str, most: int = 40) -> str:
    """Gives a name that is too long for a picture without its middle: names differ at their ends."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def folded(name: str, width: int = 56) -> str:
    """Gives the name of a configuration over several lines."""
    return "\n".join(textwrap.wrap(name, width, max_lines=4, placeholder=" …", break_on_hyphens=False)) or name


def broken(level: Level | str, width: int = 14, *, cell: bool = False) -> str:
    """Gives a long name over several lines: before what a twin adds, and after underscores.

    Args:
        level: Or any other text.
        width: Letters of a line.
        cell: Whether the axis is named elsewhere.
    """
    parts = [level] if isinstance(level, str) else [part.cell if cell else str(part) for part in level.parts]
    lines: list[str] = []
    for number, part in enumerate(parts):
        line = "= " if number else ""
        for word in re.findall("[^_ ]+[_ ]*|[_ ]+", short(part)):
            if line.strip("= ") and len(line) + len(word.rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += word
        lines.append(line)
    return "\n".join(lines if len(lines) <= _MOST_LINES else [*lines[:_MOST_LINES], "…"])


def _small(svg: str, name: str, title: str, width_px: int, height_px: int) -> str:
    """Drops what a page does not need, and makes the ids unique among several pictures.

    The picture is read as XML and written anew, so a text in it stays a text whatever it says.
    """
    drawn = ET.fromstring(svg)
    values = " ".join(value for element in drawn.iter() for value in element.attrib.values())
    used = {element.get("id") for element in drawn.iter()} & set(re.findall(r"#([^)\s]+)", values))
    ids = {old: f"{name}-{number}" for number, old in enumerate(sorted(filter(None, used)))}
    for parent in drawn.iter():
        parent.tag = parent.tag.rpartition("}")[2]
        parent.text, parent.tail = (text if text and text.strip() else None for text in (parent.text, parent.tail))
        parent.attrib = dict(filter(None, (_attribute(key, value, ids) for key, value in parent.attrib.items())))
        for child in list(parent):
            empty = child.tag == f"{_SVG}g" and not len(child) and not set(child.attrib) - {"id"}
            if empty or child.tag == f"{_SVG}metadata":
                parent.remove(child)
    root = ET.Element("svg", {"xmlns": _SVG[1:-1], "xmlns:xlink": _XLINK[1:-1]})
    root.attrib |= {"width": str(width_px), "height": str(height_px), "viewBox": drawn.attrib["viewBox"]}
    root.attrib |= {"role": "img", "aria-label": title, "class": "picture"}
    root.extend(drawn)
    return ET.tostring(root, encoding="unicode")


def _attribute(key: str, value: str, ids: Mapping[str, str]) -> tuple[str, str] | None:
    if key == "id":
        return (key, ids[value]) if value in ids else None
    if key == f"{_XLINK}href":
        return "xlink:href", f"#{ids[value[1:]]}" if value.startswith("#") else value
    value = re.sub(r"url\(#([^)]+)\)", lambda match: f"url(#{ids[match[1]]})", value)
    value = value.replace("'DejaVu Sans'", "'DejaVu Sans', system-ui, sans-serif")
    return key, re.sub(r"(\d+\.\d\d)\d+", r"\1", value).replace(INK, "currentColor")


def _letters(line: str) -> float:
    """The length of a line, in letters of the width of Latin ones."""
    return sum(1.75 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)
