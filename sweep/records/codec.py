"""The one codec of all records: dataclasses as sealed JSON and back by the types of their fields; arrays as `.npz`.

A sealed file holds the SHA-256 of its own bytes, so a truncated or edited one is noticed. That is no secret, so what
is read is checked for safety all the same: a text can be encoded, a number is finite, a whole number is a count, a
name that becomes part of a path stays inside. What a value means is not judged, so that a record of another version
stays readable: keys that are not known here are passed over, and a field with a default may be missing.
"""

import dataclasses
import functools
import hashlib
import io
import json
import math
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from sweep.errors import shown

_FORMAT = 3
_NO_DIGEST = "0" * 64
# What a `sweep.config.FileName` may be: one part of a path, on every file system.
_FILE_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
_LARGEST_COUNT = 2**63 - 1
_DEEPEST = 20

Fields = dict[str, Any]
Reader = Callable[[Any], Any]
Record = TypeVar("Record")


def encode(record: Any) -> bytes:
    """Gives the bytes of a record, with the SHA-256 of these very bytes, in which zeros stand for it."""
    fields = finite(dataclasses.asdict(record))
    content = json.dumps({"sha256": _NO_DIGEST, "format": _FORMAT, **fields}, indent=1).encode()
    return content.replace(_NO_DIGEST.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def decode(kind: type[Record], content: bytes, of_format_2: Callable[[Fields], Fields]) -> Record:
    """Reads what `encode` gave, or the format before it.

    Raises:
        ValueError: if it is damaged or unsafe, or has the format of another version.
    """
    try:
        body = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(body, dict):
        raise ValueError("it is no record")
    version, digest = body.pop("format", _FORMAT), str(body.pop("sha256", ""))
    if version not in (2, _FORMAT):
        raise ValueError("it has the format of another version of sweep")
    if digest != hashlib.sha256(content.replace(digest.encode(), _NO_DIGEST.encode(), 1)).hexdigest():
        raise ValueError("its checksum is wrong")
    if version == 2:
        try:
            body = of_format_2(body)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"it is no record of its format ({type(error).__name__}: {error})") from None
    record: Record = reader(kind)(body)  # type: ignore[arg-type]
    return record


def encode_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Gives the bytes of an `.npz` file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def decode_arrays(content: bytes, shapes: Mapping[str, tuple[str, str]]) -> dict[str, NDArray[Any]]:
    """Reads what `encode_arrays` gave.

    Args:
        content: Of the file.
        shapes: Of each array a letter an axis, such as "RNC", and the kinds of its numpy type; equal letters are equal
            sizes, "..." is any more axes.

    Raises:
        ValueError: if it is damaged, or has other arrays.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in shapes}
    except Exception as error:  # zipfile, zlib and numpy each raise their own for a damaged file
        raise ValueError(f"the arrays are damaged ({error})") from None
    sizes: dict[str, int] = {}
    for name, (letters, kinds) in shapes.items():
        axes, shape = letters.removesuffix("..."), arrays[name].shape
        fits = len(shape) == len(axes) or (axes != letters and len(shape) > len(axes))
        if not fits or any(sizes.setdefault(axis, size) != size for axis, size in zip(axes, shape, strict=False)):
            raise ValueError(f"{name} has the shape {shape}")
        if arrays[name].dtype.kind not in kinds:
            raise ValueError(f"{name} holds {arrays[name].dtype}")
    return arrays


def finite(value: Any) -> Any:
    """Gives a value for JSON, which has no NaN and no infinity: null stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


# ---- JSON values in the types of a record's fields


@functools.cache
def reader(kind: Any) -> Reader:
    """Gives the function that reads values of a type, which may be nested; null stands for a float that is NaN.

    The function raises a ValueError that says where the value is wrong.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    if origin is Annotated:
        return _file_name
    if origin is tuple and parts[-1] is not Ellipsis:
        readers = [reader(part) for part in parts]
        return lambda value: tuple(read(item) for read, item in zip(readers, _of_length(value, readers), strict=True))
    if origin in (tuple, list, Sequence):
        read_item, make = reader(parts[0]), list if origin is Sequence else origin
        return lambda value: make(map(read_item, _list(value)))
    if origin is Mapping:
        read_key, read_item = reader(parts[0]), reader(parts[1])
        return lambda value: {read_key(key): _at(key, read_item, item) for key, item in _table(value).items()}
    if origin in (Union, types.UnionType):
        # Where null may be nothing, it is no NaN.
        return functools.partial(
            _either, [reader(part) for part in sorted(parts, key=lambda one: one is not types.NoneType)]
        )
    return _SCALARS[kind]


def _record(kind: Any) -> Reader:
    hints, missing = get_type_hints(kind, include_extras=True), dataclasses.MISSING
    fields = [field for field in dataclasses.fields(kind) if field.init]
    readers = {field.name: reader(hints[field.name]) for field in fields}
    required = {field.name for field in fields if field.default is missing and field.default_factory is missing}

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


def is_file_name(text: str) -> bool:
    """Whether a text may become the name of a folder or file."""
    return bool(_FILE_NAME.fullmatch(text))


def _file_name(value: Any) -> Any:
    if not is_file_name(_text(value)):
        raise ValueError(f"{shown(value)} cannot be the name of a file")
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
