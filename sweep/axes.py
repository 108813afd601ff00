"""An axis of the search space, its levels, and what they are called; imports the standard library only.

A grid point is the tuple of its values, one for each axis in their order.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# The values of a grid point, one for each axis.
Point = tuple[Any, ...]

_SHOWN_IF_NONE_VARIES = 3


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A setting that takes several values.

    Attributes:
        name: Of the setting.
        values: In the order in which they were given.
        scale: "nominal" for words, "count" for whole numbers, "log" for positive numbers that are compared by ratios.
    """

    name: str
    values: tuple[Any, ...]
    scale: str

    @property
    def levels(self) -> tuple["Level", ...]:
        """A level for each value."""
        return tuple(Level(axis=self.name, values=(value,)) for value in self.values)

    def merged(self, values: Iterable[Any]) -> "Axis":
        """The axis with further values behind its own."""
        return dataclasses.replace(self, values=tuple(dict.fromkeys((*self.values, *values))))


@dataclass(frozen=True, kw_only=True)
class Level:
    """A value of an axis, or the values that several grid points share one configuration with."""

    axis: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        """As the report writes it: a word stands for itself, a number needs its axis."""
        return " = ".join(level_name(self.axis, value) for value in self.values)

    @property
    def cell(self) -> str:
        """As a table writes it whose column names the axis."""
        return " = ".join(map(value_name, self.values))

    @property
    def parts(self) -> tuple["Level", ...]:
        """A level for each value."""
        return tuple(dataclasses.replace(self, values=(value,)) for value in self.values)

    @property
    def first(self) -> "Level":
        """The level of the first value alone."""
        return dataclasses.replace(self, values=self.values[:1])

    @property
    def brief(self) -> str:
        """As a picture writes it: the first value, and whether there are others."""
        return f"{self.first}{' =' * (len(self.values) > 1)}"


def varied(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes that tell grid points apart: those with more than one value; of a single point the first three."""
    return tuple(axis for axis in axes if len(axis.values) > 1) or tuple(axes[:_SHOWN_IF_NONE_VARIES])


def point_name(point: Point, axes: Sequence[Axis], separator: str = "-") -> str:
    """A grid point's name among those of the axes: its levels of those that vary."""
    shown = {axis.name for axis in varied(axes)}
    pairs = zip(axes, point, strict=True)
    return separator.join(level_name(axis.name, value) for axis, value in pairs if axis.name in shown)


def value_name(value: Any) -> str:
    """A value in words: short, and never the words of another value."""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def level_name(axis: str, value: Any) -> str:
    """A level's name: a word stands for itself, a number needs its axis."""
    return value if isinstance(value, str) else f"{axis}={value_name(value)}"
