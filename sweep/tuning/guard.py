"""Ends the Ray processes that a driver leaves behind, however the driver died.

Ray's own processes can outlive a driver that was killed (`gcs_server` by minutes). The driver starts this guard
before Ray and holds the other end of its standard input: when that closes, the driver is gone. Only processes that
the driver started are ended, each recognised by its PID and start time.

Runs as a program of its own: `python guard.py DRIVER_PID`. Imports the standard library and psutil only.
"""

import json
import select
import subprocess
import sys

import psutil

_POLL_S = 0.5
_GRACE_S = 15.0


class Guard:
    """The driver's side: starts the guard, tells it what to watch, and lets it go."""

    def __init__(self) -> None:
        self._before = set(psutil.Process().children())
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(psutil.Process().pid)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )

    def watch_new_children(self) -> None:
        """Fixes the processes to end: the children that have appeared since the guard was made."""
        new = set(psutil.Process().children()) - self._before
        rows = [(process.pid, process.create_time()) for process in new if process.pid != self._process.pid]
        assert self._process.stdin
        self._process.stdin.write(json.dumps(rows) + "\n")
        self._process.stdin.flush()

    def release(self) -> None:
        """Tells the guard that the driver is done with Ray; what Ray leaves running is ended in the background."""
        assert self._process.stdin
        self._process.stdin.close()
        # Not waited for: Ray's processes may take their time, the user need not. Popen would warn about that.
        self._process.returncode = 0


def main(driver_pid: int) -> None:
    """Waits for the end of standard input, then for the watched processes, and ends those that stay."""
    watched: dict[int, psutil.Process] = {}
    fixed = False
    while True:
        readable = select.select([sys.stdin], [], [], None if fixed else _POLL_S)[0]
        if readable:
            line = sys.stdin.readline()
            if not line:
                break
            watched, fixed = dict(_find(json.loads(line))), True
        elif not fixed:
            watched |= {child.pid: child for child in _children(driver_pid)}
    family = {p.pid: p for parent in watched.values() for p in (parent, *_children(parent.pid))}
    for process in psutil.wait_procs(list(family.values()), timeout=_GRACE_S)[1]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _find(rows: list[tuple[int, float]]) -> list[tuple[int, psutil.Process]]:
    found = []
    for pid, create_time in rows:
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            continue
        if abs(process.create_time() - create_time) < 1:
            found.append((pid, process))
    return found


def _children(pid: int) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if child.pid != psutil.Process().pid]


if __name__ == "__main__":
    main(int(sys.argv[1]))
