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

_LARGEST = 2**63 - 1
_DEEPEST = 20


@functools.cache
def reader(kind: Any) -> Reader:
    """Gives the function that reads values of a type, which may be nested; null stands for a float that is NaN.

    The function raises a ValueError that says where the value is wrong.
    """
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is tuple and parts[-1] is not Ellipsis:
        return _pair(parts)
    if origin in (tuple, list):
        return _sequence(origin, reader(parts[0]))
    if origin is Mapping:
        return _mapping(reader(parts[1]))
    if origin in (Union, types.UnionType):
        return _either([reader(part) for part in parts])
    return _SCALARS[kind]


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    known = {field.name: (reader(hints[field.name]), _is_required(field)) for field in dataclasses.fields(kind)}

    def read(value: Any) -> Any:
        table = _table(value)
        fields = {}
        for name, (read_field, required) in known.items():
            if name in table:
                fields[name] = _at(name, read_field, table[name])
            elif required:
                raise ValueError(f"{name} is missing")
        return kind(**fields)

    return read


def _pair(parts: tuple[Any, ...]) -> Reader:
    readers = [reader(part) for part in parts]

    def read(value: Any) -> tuple[Any, ...]:
        if len(_list(value)) != len(readers):
            raise ValueError(f"{shown(value)} has not {len(readers)} items")
        return tuple(read_item(item) for read_item, item in zip(readers, value, strict=True))

    return read


def _sequence(kind: Any, read_item: Reader) -> Reader:
    return lambda value: kind(read_item(item) for item in _list(value))


def _mapping(read_item: Reader) -> Reader:
    return lambda value: {_text(key): _at(key, read_item, item) for key, item in _table(value).items()}


def _either(readers: list[Reader]) -> Reader:
    def read(value: Any) -> Any:
        for read_one in readers[:-1]:
            try:
                return read_one(value)
            except ValueError:
                continue
        return readers[-1](value)

    return read


def _at(name: str, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _is_required(field: Any) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no table")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{shown(value)} is no list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    value.encode()  # half a surrogate pair raises, and would wherever the text is written
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError(f"{shown(value)} is no count")
    return value


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{shown(value)} is no finite number")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return value


def _nothing(value: Any) -> None:
    if value is not None:
        raise ValueError(f"{shown(value)} is not null")


def _anything(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        return {_text(key): _anything(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_anything(item, depth + 1) for item in value]
    if isinstance(value, str):
        return _text(value)
    return _number(value) if type(value) is float else value


_SCALARS: dict[Any, Reader] = {
    str: _text,
    int: _count,
    float: _number,
    bool: _flag,
    types.NoneType: _nothing,
    Any: _anything,
}
