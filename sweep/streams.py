"""Standard output and standard error that never end a run, whatever they lead to.

A pipe whose reader has gone, a full disk, nothing, a terminal that cannot show every letter.
"""

import codecs
import io
import os
import sys
from typing import Any

# In ASCII, what we print that is not; any other letter is a question mark.
_IN_ASCII = {"±": "+-", "×": "x", "–": "-", "−": "-", "…": "...", "→": "->", "·": ".", "\u00a0": " "}


class _Lasting(io.FileIO):
    """A file that takes what is written to it, and drops it once that has failed."""

    failure: OSError | None = None

    def write(self, content: Any, /) -> int:
        if self.failure is None:
            try:
                written = super().write(content)
                if written is None:  # somebody who shares the terminal has made it one that does not wait
                    os.set_blocking(self.fileno(), True)
                    written = super().write(content)
                return int(written or 0)
            except OSError as error:
                self.failure = error
        return len(content)


def prepare_streams() -> None:
    """Gives the process a standard output and a standard error that never raise."""
    codecs.register_error("in_ascii", _in_ascii)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        if old is None:
            # Closed by whoever started us: the next file that is opened would be taken for the stream.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if name != "stdin":
            raw = _Lasting(descriptor, "w", closefd=False)
            encoding = old.encoding if old else "utf-8"
            direct = old is None or name == "stderr" or old.line_buffering or old.write_through
            new = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "in_ascii", line_buffering=direct)
            setattr(sys, name, new)


def lost_output() -> str:
    """Says why standard output could not be written since this was asked last; "" if it could, or has no reader."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return str(error.strerror)
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _Lasting) or raw.failure is None:
        return ""
    failure, raw.failure = raw.failure, BrokenPipeError()
    return "" if isinstance(failure, BrokenPipeError) else str(failure.strerror)


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    if all("\udc80" <= letter <= "\udcff" for letter in text):
        return text.encode("utf-8", "surrogateescape"), error.end  # the bytes of a file's name, as they are
    return "".join(_IN_ASCII.get(letter, "?") for letter in text), error.end
