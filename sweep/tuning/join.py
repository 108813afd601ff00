"""Finds out what is at an address before Ray joins it, where Ray itself would wait without end or say nothing useful.

A head is told from any other server in two steps: it must speak HTTP/2 as gRPC servers do, which also serves to see
that it still lives; then `probe.py` asks it as Ray does. Imports the standard library only.
"""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.errors import ResourceError

UNPROTECTED = (
    "this Ray cluster runs without token authentication: whoever reaches its ports can run code on its nodes; "
    "start every node with RAY_AUTH_MODE=token and one RAY_AUTH_TOKEN, or close the ports to others"
)
_CONNECT_WITHIN_S = 5.0
_PROBE_WITHIN_S = 30.0
# The preface of HTTP/2 and an empty SETTINGS frame; a server answers with a SETTINGS frame, which is of type 4.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head of a Ray cluster: its address "host:port", and whether it wants tokens."""

    address: str
    tokens: bool


def find_head(address: str) -> Head:
    """Gives the head at "host:port", or with "auto" the one of the cluster that runs on this machine.

    Raises:
        ResourceError: if there is none, if it does not answer in time, or if it does not accept our token.
    """
    if address.startswith("ray://"):
        raise ResourceError(
            "ray:// (Ray Client) is not supported: the sweep would lose its connection with its progress; "
            "run sweep on a node of the cluster with --address auto, or give the head's host:6379"
        )
    if address != "auto":
        _check_speaks(address)
    found = _ask(address)
    if found["problem"]:
        raise ResourceError(
            f"the Ray cluster at {found['address']} wants a token and ours is {found['problem']}; set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to those of its nodes"
        )
    return Head(address=found["address"], tokens=found["tokens"])


def speaks(address: str, *, within_s: float) -> bool:
    """Whether the server at "host:port" answers as a gRPC server does; with TLS only whether it accepts a connection.

    Raises:
        OSError: if nothing accepts a connection.
    """
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


def _check_speaks(address: str) -> None:
    _, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ResourceError(f"{address!r} is no Ray address; write host:port (the head's port is usually 6379) or auto")
    try:
        if not speaks(address, within_s=_CONNECT_WITHIN_S):
            raise _no_head(address)
    except (OSError, OverflowError) as error:
        raise ResourceError(
            f"nothing answers at {address} ({error}); check the address with `ray status` on the head node"
        ) from None


def _ask(address: str) -> dict[str, Any]:
    try:
        asked = subprocess.run(
            [sys.executable, "-P", str(Path(__file__).with_name("probe.py")), address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_WITHIN_S,
            start_new_session=True,  # Ctrl-C in the terminal ends this process, and with it the wait
        )
    except subprocess.TimeoutExpired:
        raise _no_head(address) from None
    if asked.returncode:
        if address == "auto":
            raise ResourceError(
                "no Ray cluster runs on this machine; give the head's host:port with --address, or leave it out"
            )
        raise _no_head(address)
    found: dict[str, Any] = json.loads(asked.stdout.splitlines()[-1])
    return found


def _no_head(address: str) -> ResourceError:
    return ResourceError(
        f"what answers at {address} is not the head of a Ray cluster; give the port of `ray start --head --port` "
        "(usually 6379; not that of the dashboard or of Ray Client)"
    )
