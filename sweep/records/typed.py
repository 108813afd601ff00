"""Reads plain JSON values into the types that a record's fields have.

Safety alone is checked: a text can be encoded, a number is finite, a whole number is a count, a table has the keys
that it must have. What a value means is not judged, so that a record of another version stays readable: keys that
are not known here are passed over, and a field with a default may be missing.
"""

import dataclasses
import functools
import math
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from sweep.errors import shown

Reader = Callable[[Any], Any]

_LARGEST_COUNT = 2**63 - 1
_DEEPEST = 20


@functools.cache
def reader(kind: Any) -> Reader:
    """Gives the function that reads values of a type, which may be nested; null stands for a float that is NaN.

    The function raises a ValueError that says where the value is wrong.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    if origin is tuple and parts[-1] is not Ellipsis:
        readers = [reader(part) for part in parts]
        return lambda value: tuple(read(item) for read, item in zip(readers, _of_length(value, readers), strict=True))
    if origin in (tuple, list):
        read_item = reader(parts[0])
        return lambda value: origin(map(read_item, _list(value)))
    if origin is Mapping:
        read_item = reader(parts[1])
        return lambda value: {_text(key): _at(key, read_item, item) for key, item in _table(value).items()}
    if origin in (Union, types.UnionType):
        return functools.partial(_either, [reader(part) for part in parts])
    return _SCALARS[kind]


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    readers = {field.name: reader(hints[field.name]) for field in dataclasses.fields(kind)}
    missing = dataclasses.MISSING
    required = {f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing}

    def read(value: Any) -> Any:
        if absent := required - _table(value).keys():
            raise ValueError(f"{min(absent)} is missing")
        return kind(**{name: _at(name, readers[name], value[name]) for name in readers if name in value})

    return read


def _at(name: str, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _either(readers: list[Reader], value: Any) -> Any:
    for read in readers[:-1]:
        try:
            return read(value)
        except ValueError:
            continue
    return readers[-1](value)


def _of_type(kind: type, words: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{shown(value)} is no {words}")
        return value

    return read


_table, _list = _of_type(dict, "table"), _of_type(list, "list")


def _of_length(value: Any, readers: list[Reader]) -> Any:
    if len(_list(value)) != len(readers):
        raise ValueError(f"{shown(value)} has not {len(readers)} items")
    return value


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise ValueError(f"{shown(value)} is no text")
    value.encode()  # half a surrogate pair raises a ValueError, and would wherever the text is written
    return value


def _count(value: Any) -> Any:
    if type(value) is not int or not 0 <= value <= _LARGEST_COUNT:
        raise ValueError(f"{shown(value)} is no count")
    return value


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{shown(value)} is no finite number")
    return float(value)


def _anything(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        return {_text(key): _anything(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_anything(item, depth + 1) for item in value]
    return _text(value) if isinstance(value, str) else _number(value) if isinstance(value, float) else value


_SCALARS: dict[Any, Reader] = {
    str: _text,
    int: _count,
    float: _number,
    bool: _of_type(bool, "truth value"),
    types.NoneType: _of_type(types.NoneType, "null"),
    Any: _anything,
}
