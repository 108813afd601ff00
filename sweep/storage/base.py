"""What a storage can do: five methods that each back end has, and all else, written once over these.

A new back end is one class with the five, and its line in `open_storage`; it may override what it can do better (a
true renaming, all files below a folder at one request).
"""

import contextlib
import copy
import os.path
import re
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Self

from sweep.errors import StorageError

TEMPORARY = ".tmp-"  # what names of files that are only half written, or only a probe, begin with
# No writer that cannot be seen from here takes this long over one file; the clocks of hosts may differ by less.
ABANDONED_AFTER_S = 3600.0

_HELD_S = 5.0
_FULL_BYTES = 64 * 1024


class Storage(ABC):
    """Files that are read and written whole, by paths relative to the root, with forward slashes.

    `str` gives the path or URI of the root, with which another process or host opens it again.
    """

    keeps_checksums = False  # whether the storage itself makes sure that what is read is what was written

    def __init__(self, root: str) -> None:
        self._root = root
        self._added: dict[str, _Segments] = {}

    def __str__(self) -> str:
        return self._root

    # ---- the five of each back end; whatever it refuses, or does not answer, is a StorageError

    @abstractmethod
    def read(self, path: str) -> bytes:
        """A file's content; FileNotFoundError if there is none."""

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole and atomically, in folders that it makes; it lasts, or an older file stays intact."""

    @abstractmethod
    def create(self, path: str, content: bytes) -> bool:
        """Writes a file as `write` does, but only if there is none; False if there is one."""

    @abstractmethod
    def entries(self, path: str) -> Iterable[str]:
        """The names in a folder, those of folders with a slash at the end; none if there is no such folder."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Removes a file; one that is not there is no error."""

    # ---- what follows from them

    @property
    def name(self) -> str:
        """The last part of the path of the root."""
        return os.path.basename(self._root)

    def folder(self, path: str) -> Self:
        """The storage of a folder below this one."""
        below = copy.copy(self)
        below._root, below._added = self._at(path), {}
        return below

    def read_lines(self, path: str) -> list[str]:
        """The lines that `append` has added, here or where this storage was copied from; oldest first."""
        folder, slash, name = path.rpartition("/")
        stem, dot, suffix = (re.escape(part) for part in name.rpartition("."))
        pattern = rf"{stem}(?:-(\w+)-(\w+)-(\d+))?{dot}{suffix}"
        segments = [match for one in self.entries(folder) if (match := re.fullmatch(pattern, one))]
        segments.sort(key=lambda match: (match[1] or "", match[2] or "", int(match[3] or 0)))
        contents = self.read_each([f"{folder}{slash}{match[0]}" for match in segments])
        return [line for content in contents if content for line in content.decode(errors="replace").splitlines()]

    def list(self, path: str = "") -> list[str]:
        """The sorted names in a folder, without temporary files; none if there is no such folder."""
        return sorted(name.removesuffix("/") for name in self.entries(path) if not name.startswith(TEMPORARY))

    def files(self, path: str = "") -> set[str]:
        """The paths of all files in a folder and below, without temporary ones."""
        found, folders = set(), [path]
        while folders:
            folder = folders.pop()
            for name in self.entries(folder):
                below = f"{folder}/{name}" if folder else name
                if name.endswith("/"):
                    folders.append(below[:-1])
                elif not name.startswith(TEMPORARY):
                    found.add(below)
        return found

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        folder, _, name = path.rpartition("/")
        return name in self.entries(folder)

    def read_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """The content of each file in order, None where there is none."""
        return map(self._read_or_none, paths)

    def rename(self, path: str, new_path: str) -> None:
        """Gives a file a new name in the same storage; FileNotFoundError if there is none."""
        self.write(new_path, self.read(path))
        self.delete(path)

    def append(self, path: str, line: str) -> None:
        """Adds a line to what is for people to read: at once, or within seconds; never for the truth."""
        self._added.setdefault(path, _Segments(path, self.write)).add(line)

    def flush(self) -> None:
        """Writes the lines that `append` holds back."""
        for segments in [*self._added.values()]:
            segments.flush()

    def check_writable(self) -> None:
        """Writes a file, reads it back and removes it; StorageError if that fails."""
        probe, content = f"{TEMPORARY}probe-{secrets.token_hex(4)}", secrets.token_bytes(16)
        with self.no_empty_folders():
            self.write(probe, content)
            same = self._read_or_none(probe) == content
            self.delete(probe)
        if not same:
            raise StorageError(f"{self} gives back something else than was written; choose another --storage")

    def remove_abandoned(self) -> None:  # noqa: B027
        """Removes, in this folder and below, what killed writers left; writers that live are not disturbed."""

    def no_empty_folders(self) -> contextlib.AbstractContextManager[None]:
        """Takes away, at the end, the folders made within for this storage, if nothing has come into them."""
        return contextlib.nullcontext()

    def free_gb(self) -> float | None:
        """Free space in GB (10^9 bytes); None where there is no limit to know."""
        return None

    def _at(self, path: str) -> str:
        return os.path.join(self._root, path) if path else self._root

    def _read_or_none(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None


class _Segments:
    """Lines that one writer adds to one file, where nothing can be appended: held for seconds, then whole files.

    A segment is written anew until it is full: what is written never grows with the product of lines and time. Those
    of `events.jsonl` are called `events-<when the writer began>-<writer>-<number>.jsonl`.
    """

    def __init__(self, path: str, write: Callable[[str, bytes], None]) -> None:
        stem, self._dot, self._suffix = path.rpartition(".")
        self._stem = f"{stem}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._write, self._writing = write, threading.Lock()
        self._number, self._segment = 0, b""
        self._held: list[str] = []
        self._awaited = False  # whether a timer will write them

    def add(self, line: str) -> None:
        # Written soon by another thread: whoever adds a line never waits for the storage.
        self._held.append(line)
        if not self._awaited:
            self._awaited = True
            timer = threading.Timer(_HELD_S, self._flush_later)
            timer.daemon = True
            timer.start()

    def flush(self) -> None:
        with self._writing:
            self._awaited = False  # first: a line added from here on starts the next timer
            if held := self._held[:]:
                content = self._segment + "".join(f"{line}\n" for line in held).encode()
                self._write(f"{self._stem}-{self._number:04d}{self._dot}{self._suffix}", content)
                del self._held[: len(held)]
                full = len(content) >= _FULL_BYTES
                self._number, self._segment = self._number + full, b"" if full else content

    def _flush_later(self) -> None:
        with contextlib.suppress(StorageError):  # what matters more than these lines reports it
            self.flush()
