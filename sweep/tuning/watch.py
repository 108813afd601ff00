"""Notices that what Ray needs has ended under a running driver.

Ray would let the trials go on for a while, wait, then end the driver without a word about how to go on.
"""

import threading
import time
from collections.abc import Callable

import psutil

from sweep.tuning.join import speaks

_POLL_S = 0.5
_ASK_HEAD_EVERY_S = 2.0
# A head that restarts, or a network that stumbles, is waited for; Ray's own patience with it is 60 s.
HEAD_SILENT_S = 20.0


class Watch:
    """Calls `on_lost` once, from a thread, with what was lost.

    That is the raylet that this driver talks to, the `gcs_server` that this driver started, or the head of a cluster
    that this driver has joined.

    Args:
        on_lost: Is told what was lost.
        head: Address of the joined cluster's head, None for a private cluster.
    """

    def __init__(self, on_lost: Callable[[str], None], *, head: str | None = None) -> None:
        self._on_lost, self._head = on_lost, head
        self._processes = [*_raylet(), *_own_gcs_server()]
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._watch_processes, name="ray-watch", daemon=True)]
        if head:
            self._threads.append(threading.Thread(target=self._watch_head, name="ray-head-watch", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the watching; what ends from now on is meant to."""
        self._stopped.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _watch_processes(self) -> None:
        while not self._stopped.wait(_POLL_S):
            for process in self._processes:
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    name = process.info["name"]
                    self._on_lost(f"Ray's process {name} has ended, killed perhaps for want of memory")
                    return

    def _watch_head(self) -> None:
        assert self._head
        heard = time.monotonic()
        while not self._stopped.wait(_ASK_HEAD_EVERY_S):
            if _answers(self._head):
                heard = time.monotonic()
            elif time.monotonic() - heard > HEAD_SILENT_S:
                self._on_lost(f"the head of the Ray cluster at {self._head} has not answered for {HEAD_SILENT_S:.0f} s")
                return


def _answers(head: str) -> bool:
    try:
        return speaks(head, within_s=_ASK_HEAD_EVERY_S)
    except OSError:
        return False


def _raylet() -> list[psutil.Process]:
    from ray._private import worker

    socket: str = worker._global_node.raylet_socket_name  # type: ignore[attr-defined]
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "raylet"
        and any(word.partition("=")[2] == socket for word in process.info["cmdline"] or ())
    ]


def _own_gcs_server() -> list[psutil.Process]:
    children = {process.pid for process in psutil.Process().children()}
    return [
        process
        for process in psutil.process_iter(["name"])
        if process.info["name"] == "gcs_server" and process.pid in children
    ]
