"""Grid points by name: `compare` and `baseline` of a sweep file, found among the grid points that there are.

A name is a table of axis values, or a text: the names of levels as the report writes them, in any order. Texts are
matched against the levels that the axes have, never cut at a "-": `learning_rate=1e-05` holds one itself.
"""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweep.config.trial import AXES, Point, level_name, value_name
from sweep.errors import ConfigError, shown, unknown

Axes = Sequence[tuple[str, tuple[Any, ...]]]


def check_compare(given: Any, axes: Axes) -> tuple[tuple[Point, Point], ...]:
    """Gives the pairs of grid points that `compare` names.

    Raises:
        ConfigError: if a name does not fit exactly one grid point, or a pair says nothing new.
    """
    names = _Names(axes)
    if not _is_list(given) or not all(_is_list(pair) and len(pair) == 2 for pair in given):
        example = f'["{names.example(first=True)}", "{names.example(first=False)}"]'
        raise ConfigError(f"compare must be a list of pairs of grid points, such as [{example}]; got {shown(given)}")
    pairs: dict[frozenset[Point], tuple[Point, Point]] = {}
    for pair in given:
        one, other = (names.find("compare", name) for name in pair)
        if one == other:
            raise ConfigError(f"compare: {shown(pair)} is one grid point twice; name two that differ")
        if frozenset((one, other)) in pairs:
            raise ConfigError(f"compare repeats the pair {shown(pair)}; name it once, the order does not count")
        pairs[frozenset((one, other))] = (one, other)
    return tuple(pairs.values())


def check_baseline(given: Any, axes: Axes) -> Point:
    """Gives the grid point that `baseline` names.

    Raises:
        ConfigError: if the name does not fit exactly one.
    """
    return _Names(axes).find("baseline", given)


def point_name(point: Point, axes: Axes) -> str:
    """Gives a grid point's name in a sweep of these axes: its levels of those that vary."""
    varied = [axis for axis, values in axes if len(values) > 1] or list(AXES)[:3]
    return "-".join(level_name(axis, value) for axis, value in point if axis in varied)


class _Names:
    """Finds grid points by their names."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._levels: dict[str, list[tuple[str, Any]]] = {}
        for axis, values in axes:
            for value in values:
                self._levels.setdefault(level_name(axis, value), []).append((axis, value))
        longest_first = sorted(self._levels, key=len, reverse=True)
        self._level = re.compile(rf"(?<![^\s-])(?:{'|'.join(map(re.escape, longest_first))})(?![^\s-])")

    def example(self, *, first: bool) -> str:
        """Gives the whole name of the first or of the last grid point."""
        return point_name(tuple((axis, values[0 if first else -1]) for axis, values in self._axes), self._axes)

    def find(self, key: str, given: Any) -> Point:
        """Gives the one grid point that a table or a text names."""
        if isinstance(given, str):
            choices = self._of_text(key, given)
        elif isinstance(given, Mapping):
            choices = [self._of_table(key, given)]
        else:
            raise ConfigError(
                f"{key} must name a grid point by a text such as {self.example(first=True)!r} or by a table of axis "
                f"values; got {shown(given)}"
            )
        fitting = [
            tuple((axis, (choice[axis],) if axis in choice else values) for axis, values in self._axes)
            for choice in choices
        ]
        count = sum(math.prod(len(values) for _, values in point) for point in fitting)
        points = [tuple((axis, values[0]) for axis, values in point) for point in fitting]
        if count == 1:
            return points[0]
        whole = repr(point_name(points[0], self._axes))
        if len(fitting) == count:  # the text is whole already, but a word of it is the level of several axes
            whole = "{ " + ", ".join(f'{axis} = "{value}"' for axis, value in points[0] if AXES[axis] is str) + " }"
        raise ConfigError(f"{key}: {shown(given)} fits {count:,} grid points; write the whole name, such as {whole}")

    def _of_text(self, key: str, text: str) -> list[dict[str, Any]]:
        """Gives each way to read a text, as values of the axes that it names."""
        words = self._level.findall(text)
        # The "-" of an exponent is kept in what the message repeats.
        strange = [word for word in re.split(r"\s+|(?<![\d.]e)-", self._level.sub(" ", text)) if word]
        if strange:
            raise ConfigError(f"{key}: {unknown('level', strange[0], self._levels)}")
        readings: list[dict[str, Any]] = []
        if 0 < len(words) <= len(self._axes):
            for levels in itertools.product(*(self._levels[word] for word in words)):
                choice = dict(levels)
                if len(choice) == len(levels) and choice not in readings:
                    readings.append(choice)
        if not readings:
            raise ConfigError(
                f"{key}: {shown(text)} names no grid point; write one level of each axis, such as "
                f"{self.example(first=True)!r}"
            )
        return readings

    def _of_table(self, key: str, table: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(self._axes)
        for axis in table:
            if axis not in values:
                raise ConfigError(f"{key}: {unknown('axis', axis, values)}")
        return {axis: _among(key, axis, value, values[axis]) for axis, value in table.items()}


def _among(key: str, axis: str, given: Any, values: Iterable[Any]) -> Any:
    """Gives the value of an axis that equals what was given, in its type: 1 is 1.0, and 64 the depth "64"."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    word = given if isinstance(given, str) else value_name(given) if is_number else shown(given)
    for value in values:
        if word == value or (is_number and given == value):
            return value
    raise ConfigError(f"{key}: {unknown(axis, word, map(value_name, values))}")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
