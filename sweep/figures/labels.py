"""Names as they fit into a picture: folded, shortened, measured."""

import re
import textwrap
import unicodedata
from collections.abc import Iterable

from sweep.axes import Level

_MOST_LINES = 8


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


def _letters(line: str) -> float:
    """The length of a line, in letters of the width of Latin ones."""
    return sum(1.75 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)
