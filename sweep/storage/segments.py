"""Lines added to a file of a store that cannot append: held for seconds, then written as numbered segments.

A segment is written anew with each flush until it is full, so what is written grows with the number of lines and the
time that passes, never with their product. Its name says when its writer began, and no two writers share one.
"""

import contextlib
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from sweep.errors import StorageError

_HELD_S = 5.0
_FULL_BYTES = 64 * 1024


def files_of_lines(name: str, names: Iterable[str]) -> list[str]:
    """Gives those of the names that are a file of lines or its segments, in the order in which they were written."""
    stem, dot, suffix = (re.escape(part) for part in name.rpartition("."))
    matches = [re.fullmatch(rf"{stem}(?:-(\w+)-(\w+)-(\d+))?{dot}{suffix}", one) for one in names]
    order = {match[0]: (match[1] or "", match[2] or "", int(match[3] or 0)) for match in matches if match}
    return sorted(order, key=order.__getitem__)


class Segments:
    """What one writer adds to one file.

    Args:
        path: Of the file; segments of `events.jsonl` are called `events-<time>-<writer>-<number>.jsonl`.
        write: Writes a whole file.
    """

    def __init__(self, path: str, write: Callable[[str, bytes], None]) -> None:
        self._stem, self._dot, self._suffix = path.rpartition(".")
        self._writer = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._write = write
        self._number, self._segment = 0, b""
        self._held: list[str] = []
        self._timer: threading.Timer | None = None
        self._changing, self._writing = threading.Lock(), threading.Lock()

    def add(self, line: str) -> None:
        """Holds a line, which is written soon by another thread."""
        with self._changing:
            self._held.append(line)
            if not self._timer:
                self._timer = threading.Timer(_HELD_S, self._flush_later)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Writes what is held.

        Raises:
            StorageError: if it cannot be written; it stays held.
        """
        with self._writing:
            with self._changing:
                held, self._held = self._held, []
                if self._timer:
                    self._timer.cancel()
                    self._timer = None
            if not held:
                return
            content = self._segment + "".join(f"{line}\n" for line in held).encode()
            try:
                self._write(f"{self._stem}-{self._writer}-{self._number:04d}{self._dot}{self._suffix}", content)
            except BaseException:
                with self._changing:
                    self._held = held + self._held
                raise
            full = len(content) >= _FULL_BYTES
            self._number, self._segment = self._number + full, b"" if full else content

    def _flush_later(self) -> None:
        with contextlib.suppress(StorageError):  # what matters more than these lines reports it
            self.flush()
