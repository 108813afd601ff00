"""The errors a user can cause or must act on; imports the standard library only.

    SweepError                  exit code 1
    ├── UserError               exit code 2: a mistake in what was asked for; nothing was written
    │   ├── ConfigError         a sweep file, an override, a name
    │   ├── DatasetError        a data set that is missing, broken or too small
    │   └── ExperimentError     an experiment that is missing, different, damaged or in use
    ├── ClusterLostError        exit code 1: Ray has stopped in the middle of a run
    ├── ResourceError           exit code 3: no node can give what a trial asks for, or no cluster answers
    └── StorageError            exit code 1 (2 before training): no space, no permission, not shared by the nodes

Every message is one line that says what was given, what is allowed and what to do next. Anything else that
escapes is a bug and keeps its traceback.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_MOST_SHOWN = 100


class SweepError(Exception):
    """An error that is explained to the user in one line, without a traceback."""

    exit_code = 1

    def __str__(self) -> str:
        """The message on one line, whatever names it repeats, and without the user and password of a URL."""
        return re.sub(r"(://)[^/\s]*@", r"\1...@", one_line(super().__str__()))


class UserError(SweepError):
    """A mistake in what the user asked for."""

    exit_code = 2


class ConfigError(UserError):
    """A sweep file, an override or a name that cannot be accepted."""


class DatasetError(UserError):
    """A data set that is missing, broken or smaller than asked for."""


class ExperimentError(UserError):
    """An experiment that is missing, different from the one asked for, damaged or in use."""


class ResourceError(SweepError):
    """Resources that no node has, or a cluster that does not answer."""

    exit_code = 3


class ClusterLostError(SweepError):
    """A Ray cluster that has stopped in the middle of a run."""


class StorageError(SweepError):
    """A storage path without space or permission, or one that the nodes do not share."""

    exit_code = 2


def unknown(kind: str, given: str, allowed: Iterable[str]) -> str:
    """The message for a name that is not among `allowed`, with the nearest valid one."""
    names = sorted(allowed)
    nearest = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"unknown {kind} {shown(given)}; choose from {', '.join(names)}{hint}"


def shown(value: Any) -> str:
    """What a user or a file has given as a message repeats it: as Python writes it, of a bearable length."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # of a number of thousands of digits, and of endless nesting
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def one_line(text: str) -> str:
    """A text with escapes for what would break the line, steer the terminal or not be encoded."""
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def reason(error: BaseException) -> str:
    """In one line what an error says, without the numbers and paths that Python adds."""
    said = error.strerror if isinstance(error, OSError) else None
    return " ".join((said or str(error)).split()) or type(error).__name__


def first_line(text: object) -> str:
    """The first line of what an error says; the others often tell where, not what."""
    return str(text).strip().partition("\n")[0]


def last_line(text: object) -> str:
    """The last line of a traceback or of what a program has printed, which says what was wrong."""
    return (str(text).strip().splitlines() or [""])[-1]
