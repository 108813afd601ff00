"""Notices that Ray's own processes have ended under a running driver.

Ray would let the trials go on for a while, wait, then end the driver without a word about how to go on.
"""

import threading
from collections.abc import Callable

import psutil

_POLL_S = 0.5


class Watch:
    """Calls `on_lost` once, from a thread, with the name of the process that has ended: `raylet` or `gcs_server`.

    The raylet is the one that this driver talks to; a cluster's `gcs_server` counts only if this driver started it.
    """

    def __init__(self, on_lost: Callable[[str], None]) -> None:
        self._on_lost = on_lost
        self._processes = [*_raylet(), *_own_gcs_server()]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ray-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watching; what ends from now on is meant to."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_POLL_S):
            for process in self._processes:
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    self._on_lost(process.info["name"])
                    return


def _raylet() -> list[psutil.Process]:
    from ray._private import worker

    socket: str = worker._global_node.raylet_socket_name  # type: ignore[attr-defined]
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "raylet" and any(socket in word for word in process.info["cmdline"] or ())
    ]


def _own_gcs_server() -> list[psutil.Process]:
    children = {process.pid for process in psutil.Process().children()}
    return [
        process
        for process in psutil.process_iter(["name"])
        if process.info["name"] == "gcs_server" and process.pid in children
    ]
