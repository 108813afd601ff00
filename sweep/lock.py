"""One driver at a time: a lock file with a heartbeat, which needs no `flock` from the file system.

A lock whose driver is dead is taken over: at once if it ran on this host, else when its heartbeat is older than
`STALE_AFTER_S` (the clocks of hosts that share an experiment must agree to some seconds). Should two drivers slip
through all the same, nothing is damaged: two writers of a trial write the same numbers, each file whole.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import psutil

from sweep.errors import ExperimentError, StorageError
from sweep.storage import Storage

HEARTBEAT_S = 5.0
STALE_AFTER_S = 60.0
_FILE = "lock.json"
# Always the same, so that an object store's reader, which asks for the size first, never gets half of a heartbeat.
_SIZE = 512


class Lock:
    """Holds an experiment for this process, as a context manager.

    Args:
        storage: Of the experiment's folder.
        on_lost: Called from the heartbeat's thread if another driver has taken the lock over.

    Raises:
        ExperimentError: on entering, if another driver that may be alive holds it; names its host and PID.
    """

    def __init__(self, storage: Storage, on_lost: Callable[[], None]) -> None:
        self._storage = storage
        self._on_lost = on_lost
        self._token = secrets.token_hex(8)
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)

    def __enter__(self) -> "Lock":
        while not self._storage.create(_FILE, self._content()):
            holder = read_holder(self._storage)
            if holder and is_alive(holder):
                age = time.time() - holder["heartbeat"]
                remote = holder["host"] != socket.gethostname()
                wait = f"; if that host is gone, try again in {max(STALE_AFTER_S - age, 1):.0f} s" if remote else ""
                raise ExperimentError(
                    f"{self._storage} is in use by process {holder['pid']} on {holder['host']} "
                    f"(heartbeat {max(age, 0):.0f} s ago); wait for it or stop it{wait}"
                )
            self._set_aside(holder)
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._heart.join()
        with contextlib.suppress(StorageError):  # a lock that stays is taken over; how the run ended matters more
            holder = read_holder(self._storage)
            if holder and holder["token"] == self._token:
                self._storage.delete(_FILE)

    def _content(self) -> bytes:
        process = psutil.Process()
        content = json.dumps(
            {
                "host": socket.gethostname(),
                "pid": process.pid,
                "process_started": process.create_time(),
                "heartbeat": time.time(),
                "token": self._token,
            }
        )
        return content.ljust(_SIZE).encode()

    def _set_aside(self, holder: dict[str, Any] | None) -> None:
        """Removes a dead driver's lock; of several that try, each checks that it moved what it had read."""
        aside = f"{_FILE}.{secrets.token_hex(4)}"
        try:
            self._storage.rename(_FILE, aside)
        except FileNotFoundError:
            return
        moved = _parse(self._storage.read(aside))
        if moved and (not holder or moved["token"] != holder["token"]):
            self._storage.create(_FILE, json.dumps(moved).encode())
        self._storage.delete(aside)

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            with contextlib.suppress(StorageError, OSError):  # a full disk is reported by what needs the space
                holder = read_holder(self._storage)
                if holder and holder["token"] != self._token:
                    self._on_lost()
                    return
                self._storage.write(_FILE, self._content())


def read_holder(storage: Storage) -> dict[str, Any] | None:
    """Gives what the lock file says, None if there is none or it cannot be read."""
    try:
        return _parse(storage.read(_FILE))
    except FileNotFoundError:
        return None


def is_alive(holder: dict[str, Any]) -> bool:
    """Whether the driver that holds a lock may still be running."""
    if holder["host"] != socket.gethostname():
        return bool(time.time() - holder["heartbeat"] < STALE_AFTER_S)
    try:
        process = psutil.Process(holder["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:  # killed, and its parent has not asked how it ended
            return False
        return bool(abs(process.create_time() - holder["process_started"]) < 1)
    except psutil.NoSuchProcess:
        return False


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        holder = json.loads(content)
        return holder if os.fspath(holder["token"]) and holder["host"] and float(holder["heartbeat"]) else None
    except (ValueError, KeyError, TypeError):
        return None
