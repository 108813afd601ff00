"""The folder of a private Ray, with its sockets and logs: where it can be, and what the logs say if Ray cannot start.

Ray's own choice would be `$TMPDIR/ray`, which may belong to somebody else, or be too long for the name of a socket.
"""

import contextlib
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

from sweep.errors import ResourceError, reason

# As long as the longest name of a socket that Ray makes in its folder.
_SOCKET = "r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store".replace("/", "-")
# Ray hands the path on in command lines that it splits.
_PLAIN = re.compile(r"[\w./+@=~-]+", re.ASCII)
_ERROR = re.compile(r"\b[EFC] \d+ \d+\] ")  # how Ray's logs mark a line: its kind, process and thread
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
_VARIABLES = ("RAY_TMPDIR", "TMPDIR", "XDG_RUNTIME_DIR")


def make_folder() -> Path:
    """Makes a folder for a private Ray that only this user can enter.

    Raises:
        ResourceError: if there is no place for one.
    """
    problems = []
    for place in dict.fromkeys([*(os.environ.get(name) for name in _VARIABLES), *_PLACES]):
        if place:
            try:
                return _make_in(place)
            except OSError as error:
                problems.append(f"{place}: {reason(error)}")
    raise ResourceError(
        "Ray needs a folder for its sockets and logs, and none can be made here; set TMPDIR to a folder that you may "
        f"write to, with a short path ({'; '.join(problems)})"
    )


def check_folder() -> str:
    """Says where a private Ray will have its folder.

    Raises:
        ResourceError: if there is no place for one.
    """
    folder = make_folder()
    shutil.rmtree(folder, ignore_errors=True)
    return f"a private one can have its sockets and logs in {folder.parent}"


def not_started(error: BaseException, folder: Path) -> ResourceError:
    """Gives the error for a private Ray that has not started, with the last words of its logs."""
    words = _last_words(folder)
    return ResourceError(
        f"Ray cannot start on this machine: {reason(error)[:300]}{f' ({words})' if words else ''}; "
        "see `sweep doctor`, or join a cluster with --address"
    )


def _make_in(place: str) -> Path:
    if not _PLAIN.fullmatch(os.path.abspath(place)):
        raise OSError(0, "its path has letters that Ray does not take")
    folder = Path(tempfile.mkdtemp(prefix="sweep-", dir=os.path.abspath(place)))
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(folder / _SOCKET))
        (folder / _SOCKET).unlink()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _last_words(folder: Path) -> str:
    """The last line with an error in the log of the server, or else of the node, whichever did not start."""
    for name in ("gcs_server", "raylet"):
        for log in sorted(folder.glob(f"r/session_2*/logs/{name}*")):
            with contextlib.suppress(OSError):
                lines = [line for line in log.read_text(errors="replace").splitlines() if _ERROR.search(line)]
                if lines:
                    return f"{name}: {lines[-1].rpartition('] ')[2].strip()[:200]}"
    return ""
