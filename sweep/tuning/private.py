"""What a private Ray needs of this machine, which of its processes a sweep does not need, and why it has not started.

Ray's own folder for sockets and logs would be `$TMPDIR/ray`, which may belong to somebody else, or be too long for the
name of a socket.
"""

import contextlib
import importlib
import os
import re
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.errors import ResourceError, reason

# As long as the longest name of a socket that Ray makes in its folder.
_SOCKET = "r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store".replace("/", "-")
# Ray does not start where the path has a quote, or a letter beyond ASCII.
_PLAIN = re.compile(r"[\w./+@=~-]+", re.ASCII)
# An error in a log of Ray, of gRPC within it, or of C++; but no line of a stack.
_ERROR = re.compile(
    r"(?:\b[EFC] \d+ \d+\] (?:\(\w+\) )?\S+:\d+: |^E\d{4} [\d:.]+ +\d+ \S+:\d+\] |what\(\): )"
    r" *(?![ *@]|PC:)(.+)",
    re.MULTILINE,
)
# Measured: 6.2 GB without a GPU.
_ADDRESSES = 7e9
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def make_folder() -> Path:
    """Makes a folder that only this user can enter, for a private Ray and for what this process writes meanwhile."""
    problems = []
    given = (os.environ.get(name) for name in ("RAY_TMPDIR", "TMPDIR", "XDG_RUNTIME_DIR"))
    for place in dict.fromkeys([*given, *_PLACES]):
        if place:
            try:
                return _make_in(place)
            except OSError as error:
                problems.append(f"{place}: {reason(error)}")
    raise ResourceError(
        "Ray needs a folder for its sockets and logs, and none can be made here; set TMPDIR to a folder that you may "
        f"write to, with a short path ({'; '.join(problems)})"
    )


def check_machine() -> None:
    """Raises a ResourceError for what Ray itself would wait for without end, or die of without a word."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError as error:
        raise ResourceError(
            f"this machine cannot reach itself at 127.0.0.1 ({reason(error)}), over which Ray's processes talk; "
            "bring the loopback interface up"
        ) from None
    addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 <= addresses < _ADDRESSES:  # RLIM_INFINITY is -1
        raise ResourceError(
            f"a process may have addresses for {addresses / 1e9:.1f} GB here, with Ray and torch it needs "
            f"{_ADDRESSES / 1e9:.0f} GB; raise the limit with ulimit -v"
        )


def check_private_ray() -> str:
    """Says that a private Ray can start, and where it will have its folder; a ResourceError if it cannot."""
    check_machine()
    folder = make_folder()
    shutil.rmtree(folder, ignore_errors=True)
    return f"a private one can start, with its sockets and logs in {folder.parent}"


def not_started(error: BaseException, folder: Path) -> ResourceError:
    """Gives the error for a private Ray that has not started: what its logs say, or else what it has raised."""
    return ResourceError(
        f"Ray cannot start on this machine ({_words_of_logs(folder) or reason(error)[:300]}); raise the limits of this "
        "user or container (memory, ulimit -u and -n), or join a cluster with --address"
    )


@contextlib.contextmanager
def without_onlookers() -> Iterator[None]:
    """Lets `ray.init` start no process that a sweep has no use for: each is a Python that imports for a second or more.

    Ray has no option for that. Where a later Ray is built differently, this has no effect and it starts whole.
    """
    node: Any = importlib.import_module("ray._private.node")
    whole = node.Node
    # The autoscaler, though one machine cannot grow; what brings the output of workers to a driver that does not want
    # it; and the dashboard, even where it is not included.
    onlookers = ("start_monitor", "start_log_monitor", "start_api_server")
    node.Node = type("LeanNode", (whole,), {name: lambda self, **options: None for name in onlookers})
    try:
        yield
    finally:
        node.Node = whole


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


def _words_of_logs(folder: Path) -> str:
    """The first error in the log of the server, or else of the node."""
    for name in ("gcs_server", "raylet"):
        for log in sorted(folder.glob(f"r/session_2*/logs/{name}*")):
            with contextlib.suppress(OSError):
                if found := _ERROR.search(log.read_text(errors="replace")):
                    return f"{name}: {found[1].strip()[:200]}"
    return ""
