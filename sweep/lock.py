"""One driver at a time: a lock file with a heartbeat, which needs no `flock` from the file system.

A lock whose driver is known to be dead is taken over at once. Where that cannot be known (another machine, another
container, a lock of an older version), its heartbeat decides: while that is younger than `STALE_AFTER_S`, the driver
is taken to be alive. A lock that is older, or unreadable, is watched for some beats before it is taken over: a clock
may be wrong, or the lock only just be written. Should two drivers slip through all the same, nothing is damaged: two
writers of a trial write the same numbers, each file whole.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from sweep.errors import ExperimentError, StorageError
from sweep.machine import lives, this_process
from sweep.storage import Storage

HEARTBEAT_S = 5.0
STALE_AFTER_S = 60.0
_WATCHED_BEATS = 3
_FILE = "lock.json"
# Always the same, so that an object store's reader, which asks for the size first, never gets half of a heartbeat.
_SIZE = 512


class Lock:
    """Holds an experiment's folder for this process, as a context manager.

    `on_lost` is called from the heartbeat's thread if another driver has taken the lock over; `say` is told why
    entering takes a while, when it does. Entering raises an `ExperimentError` if another driver that may be alive
    holds the lock.
    """

    def __init__(
        self, storage: Storage, on_lost: Callable[[], None], say: Callable[[str], None] = lambda text: None
    ) -> None:
        self._storage, self._on_lost, self._say = storage, on_lost, say
        self._token = secrets.token_hex(8)
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)

    def __enter__(self) -> "Lock":
        while not self._storage.create(_FILE, self._content()):
            holder = read_holder(self._storage)
            if holder is not None:
                self._refuse_if_alive(holder)
                self._set_aside(holder)
        self._heart.start()
        return self

    def __exit__(self, *ending: object) -> None:
        self._released.set()
        self._heart.join()
        with contextlib.suppress(StorageError):  # a lock that stays is taken over; how the run ended matters more
            holder = read_holder(self._storage)
            if holder and holder["token"] == self._token:
                self._storage.delete(_FILE)

    def _content(self) -> bytes:
        driver = {"host": socket.gethostname(), "pid": os.getpid(), "process": this_process()}
        return json.dumps({**driver, "heartbeat": time.time(), "token": self._token}).ljust(_SIZE).encode()

    def _refuse_if_alive(self, holder: Mapping[str, Any]) -> None:
        alive = lives(str(holder.get("process")))
        if alive is None:
            alive = abs(time.time() - holder.get("heartbeat", 0)) < STALE_AFTER_S or self._beats(holder)
        if not alive:
            return
        holder = read_holder(self._storage) or holder
        age = time.time() - holder.get("heartbeat", 0)
        wait = f"; if it is gone, try again in {max(STALE_AFTER_S - age, 1):.0f} s"
        raise ExperimentError(
            f"{self._storage} is in use by process {holder.get('pid')} on {holder.get('host')} (heartbeat "
            f"{max(age, 0):.0f} s ago); wait for it or stop it{'' if lives(str(holder.get('process'))) else wait}"
        )

    def _beats(self, holder: Mapping[str, Any]) -> bool:
        self._say(f"watching for {_WATCHED_BEATS * HEARTBEAT_S:.0f} s whether the driver that left a lock here lives")
        for _ in range(_WATCHED_BEATS):
            time.sleep(HEARTBEAT_S)
            if read_holder(self._storage) != holder:
                return True
        return False

    def _set_aside(self, holder: Mapping[str, Any]) -> None:
        """Removes a dead driver's lock; of several that try, each checks that it moved what it had read."""
        aside = f"{_FILE}.{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            self._storage.rename(_FILE, aside)
            content = self._storage.read(aside)
            if _parse(content).get("token") != holder.get("token"):
                self._storage.create(_FILE, content)
            self._storage.delete(aside)

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            with contextlib.suppress(StorageError):  # a full disk is reported by what needs the space
                holder = read_holder(self._storage)
                if holder and holder["token"] != self._token:
                    self._on_lost()
                    return
                self._storage.write(_FILE, self._content())


def read_holder(storage: Storage) -> dict[str, Any] | None:
    """Gives what the lock file says; None if there is none, and nothing if it cannot be read."""
    try:
        return _parse(storage.read(_FILE))
    except FileNotFoundError:
        return None


def _parse(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
        return {**holder, "token": os.fspath(holder["token"]), "heartbeat": float(holder["heartbeat"])}
    except (ValueError, KeyError, TypeError):
        return {}
