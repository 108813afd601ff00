"""What is at an address before Ray joins it, and whether what Ray needs still lives once it runs.

Ray itself would wait without end for a server that is no head; and where something that it needs has ended, let the
trials go on for a while, wait, then end the driver without a word about how to go on. A head is told from any other
server in two steps: it must speak HTTP/2 as gRPC servers do, now and later; then `probe.py` asks it as Ray does.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from sweep.errors import ResourceError

UNPROTECTED = (
    "this Ray cluster runs without token authentication: whoever reaches its ports can run code on its nodes; "
    "start every node with RAY_AUTH_MODE=token and one RAY_AUTH_TOKEN, or close the ports to others"
)
# A head that restarts, or a network that stumbles, is waited for; Ray's own patience with it is 60 s.
HEAD_SILENT_S = 20.0
_ASK_HEAD_EVERY_S = 2.0
_POLL_S = 0.5
# The preface of HTTP/2 and an empty SETTINGS frame; a server answers with a SETTINGS frame, which is of type 4.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


class Head(NamedTuple):
    """The head of a Ray cluster: its address "host:port", and whether it wants tokens."""

    address: str
    tokens: bool


def find_head(address: str) -> Head:
    """Gives the head at "host:port", or with "auto" the one of the cluster that runs on this machine.

    Raises a ResourceError if there is none, if it does not answer in time, or if it does not accept our token.
    """
    if address.startswith("ray://"):
        raise ResourceError(
            "ray:// (Ray Client) is not supported: the sweep would lose its connection with its progress; "
            "run sweep on a node of the cluster with --address auto, or give the head's host:6379"
        )
    if address != "auto":
        _check_speaks(address)
    try:
        probe = subprocess.run(
            [sys.executable, "-P", str(Path(__file__).with_name("probe.py")), address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=30,
            start_new_session=True,  # Ctrl-C in the terminal ends this process, and with it the wait
        )
    except subprocess.SubprocessError:
        raise _no_head(address) from None
    found = json.loads(probe.stdout.splitlines()[-1])
    if found["problem"]:
        raise ResourceError(
            f"the Ray cluster at {found['address']} wants a token and ours is {found['problem']}; set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to those of its nodes"
        )
    return Head(address=found["address"], tokens=found["tokens"])


@contextlib.contextmanager
def watched(on_lost: Callable[[str], None], head: Head | None) -> Iterator[None]:
    """Meanwhile calls `on_lost` once, from a thread, with what was lost.

    That is the raylet that this driver talks to, the `gcs_server` that it has started, or the head that it has joined.
    """
    stopped = threading.Event()
    watching = (_processes_of_ray(), head.address if head else None, on_lost, stopped)
    thread = threading.Thread(target=_watch, args=watching, name="ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _watch(
    processes: Sequence[psutil.Process], head: str | None, on_lost: Callable[[str], None], stopped: threading.Event
) -> None:
    lost = ""
    heard = asked = time.monotonic()
    while not lost and not stopped.wait(_POLL_S):
        for process in processes:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                lost = f"Ray's process {process.info['name']} has ended, killed perhaps for want of memory"
        if head and time.monotonic() - asked > _ASK_HEAD_EVERY_S:
            asked = time.monotonic()
            with contextlib.suppress(OSError):
                heard = asked if _speaks(head, within_s=_ASK_HEAD_EVERY_S) else heard
            if time.monotonic() - heard > HEAD_SILENT_S:
                lost = f"the head of the Ray cluster at {head} has not answered for {HEAD_SILENT_S:.0f} s"
    if lost:
        on_lost(lost)


def _processes_of_ray() -> list[psutil.Process]:
    from ray._private import worker

    raylet_socket = worker._global_node.raylet_socket_name  # type: ignore[attr-defined]
    found = []
    for process in psutil.process_iter(["name", "cmdline", "ppid"]):
        name, words = process.info["name"], process.info["cmdline"] or ()
        is_raylet = name == "raylet" and any(word.partition("=")[2] == raylet_socket for word in words)
        if is_raylet or (name == "gcs_server" and process.info["ppid"] == os.getpid()):
            found.append(process)
    return found


def _check_speaks(address: str) -> None:
    _, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ResourceError(f"{address!r} is no Ray address; write host:port (the head's port is usually 6379) or auto")
    try:
        if not _speaks(address, within_s=5):
            raise _no_head(address)
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"nothing answers at {address} ({error}); check the address with `ray status` on the head node"
        ) from None


def _speaks(address: str, *, within_s: float) -> bool:
    """Whether a server answers as gRPC servers do, with TLS whether it takes a connection; an OSError if none does."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=within_s) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            return True
        try:
            connection.sendall(_GREETING)
            answer = connection.recv(9, socket.MSG_WAITALL)
        except OSError:
            return False
    return len(answer) == 9 and answer[3] == 4


def _no_head(address: str) -> ResourceError:
    if address == "auto":
        return ResourceError(
            "no Ray cluster runs on this machine; give the head's host:port with --address, or leave it out"
        )
    return ResourceError(
        f"what answers at {address} is not the head of a Ray cluster; give the port of `ray start --head --port` "
        "(usually 6379; not that of the dashboard or of Ray Client)"
    )
