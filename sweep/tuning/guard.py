"""Ends the Ray processes that a driver leaves behind, however the driver died.

Ray's own processes can outlive a driver that was killed (`gcs_server` by minutes). The driver starts this guard
before Ray and holds the other end of its standard input: when that closes, the driver is gone. Only processes that
the driver started are ended: they carry a mark in their environment, or are children of one that does. Then the
folder of the driver and its Ray is removed.

Runs as a program of its own: `python guard.py MARK FOLDER`. Imports the standard library and psutil only.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

_MARK = "SWEEP_GUARDED_BY"
_GRACE_S = 5.0


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """The driver's side: marks what the driver starts meanwhile, for a guard that begins when this is left."""
    mark = secrets.token_hex(16)
    guard = subprocess.Popen(
        [sys.executable, "-P", __file__, mark, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,  # it outlives the driver: whoever reads the driver's output must not wait for it
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is not for it
    )
    assert guard.stdin
    os.environ[_MARK] = mark
    try:
        yield
    finally:
        os.environ.pop(_MARK, None)
        guard.stdin.close()
        # Not waited for: Ray's processes may take their time, the user need not. Popen would warn about that.
        guard.returncode = 0


def main(mark: str, folder: str) -> None:
    """Waits for the end of standard input, then for the marked processes, and ends those that stay."""
    sys.stdin.read()
    for process in psutil.wait_procs(_family(mark), timeout=_GRACE_S)[1] + _family(mark):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    shutil.rmtree(folder, ignore_errors=True)


def _family(mark: str) -> list[psutil.Process]:
    """The processes with the mark and all their descendants, which may have overwritten theirs with a title."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark:
                found |= {process, *process.children(recursive=True)}
        except (psutil.Error, OSError):
            continue  # it has ended meanwhile, or is another user's
    return [process for process in found if process.pid != os.getpid()]


if __name__ == "__main__":
    main(*sys.argv[1:])
