"""Nodes with a network of their own, as machines have: another address, another loopback, one cable to the others."""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator

import pytest
from harness import WORDS, Case, Numbers, check_promise
from raylets import Raylets


class Network:
    """A bridge of this machine, and network namespaces that are plugged into it.

    Raises:
        OSError: if there is no command `ip`.
        CalledProcessError: if it may not do that here.
    """

    def __init__(self) -> None:
        self._name = f"sweep{secrets.token_hex(4)}"
        self._subnet = f"198.18.{secrets.randbelow(256)}"  # of the range for tests of networks
        self._count = 1
        self._undo: list[tuple[str, ...]] = []
        self.host = f"{self._subnet}.1"
        _ip("link", "add", self._name, "type", "bridge")
        self._undo.append(("link", "delete", self._name))
        _ip("address", "add", f"{self.host}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def plug(self) -> tuple[str, tuple[str, ...]]:
        """Gives the address of a new namespace, and a command that runs another in it."""
        self._count += 1
        namespace, address = f"{self._name}-{self._count}", f"{self._subnet}.{self._count}"
        _ip("netns", "add", namespace)
        self._undo.append(("netns", "delete", namespace))
        _ip("link", "add", namespace, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", namespace, "master", self._name, "up")
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", device, "up")
        return address, ("ip", "netns", "exec", namespace)

    def end(self) -> None:
        """Takes everything away."""
        for words in reversed(self._undo):
            _ip(*words)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def machines() -> Iterator[Raylets]:
    """A cluster of a head and two nodes, each node in a network namespace of its own."""
    with contextlib.ExitStack() as stack:
        try:
            network = Network()
            stack.callback(network.end)
            plugs = [network.plug() for _ in range(2)]
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces are not allowed here: {getattr(error, 'stderr', '') or error}")
        raylets = Raylets(0, host=network.host)
        stack.callback(raylets.end)
        for node in [raylets.start(address, within=within) for address, within in plugs]:
            node.until_started()
        yield raylets


def test_nodes_with_networks_of_their_own_train_the_same_numbers(
    case: Case, machines: Raylets, truth: dict[str, Numbers]
) -> None:
    case.set_faults({"slow_epoch_s": 0.5})
    run = case.start("run", *WORDS, address=machines.address)
    run.until(lambda: len({pid for _, pid, _, _ in run.new_rows}) == 2)
    networks = {os.readlink(f"/proc/{pid}/ns/net") for _, pid, _, _ in run.new_rows}
    assert len(networks - {os.readlink("/proc/self/ns/net")}) == 2
    case.set_faults()
    assert run.wait() == 0, run.output
    check_promise(case, truth)
