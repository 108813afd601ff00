"""Which process wrote something, so that another process can tell whether that one still lives.

A PID means something only within one PID namespace of one running kernel: two containers count alike, and so do two
machines that share a host name. So a process is known by its place, which is both of these, its PID, and its start,
since PIDs are given again. Standard library only.
"""

import hashlib
import os
from pathlib import Path

_ENDED = ("Z", "X")  # killed, and its parent has not asked how it ended


def this_process() -> str:
    """Gives `pid-start@place`, letters that may stand in a file's name; parts that cannot be known are empty."""
    start = _start("self")
    return f"{os.getpid()}-{start or ''}@{_place()}"


def lives(process: str) -> bool | None:
    """Whether a process still runs, given what its `this_process` said; None if that cannot be known from here."""
    which, _, place = process.partition("@")
    pid, _, start = which.partition("-")
    if not (pid.isdecimal() and start and place and place == _place()):
        return None
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is there, and another user's
    now = _start(pid)
    return None if now is None else now == start


def _start(pid: str) -> str | None:
    """When a process started, in clock ticks after the boot: no clock that is set changes it.

    Gives "" for a process that has ended, and None if that is hidden here.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in _ENDED else fields[18]


def _place() -> str:
    """Names this PID namespace of this running kernel; "" if it cannot be known, or `/proc` is another namespace's."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{boot.strip()} {namespace}".encode()).hexdigest()[:12]
