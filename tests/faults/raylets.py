"""Ray clusters of several real nodes on this machine: each with its own raylet, workers and loopback address."""

import contextlib
import itertools
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from harness import TOKEN, environment

_STORE = "80000000"
_ADDRESSES = itertools.count(1)


class Node:
    """The processes that one `ray start` leaves, as a machine that can be lost.

    Args:
        words: Of `ray start`.
        name: Its address.
        within: A command that runs another, such as `unshare`.
        variables: Of the environment of all its processes.
    """

    def __init__(
        self, *words: str, name: str = "head", within: Sequence[str] = (), variables: Mapping[str, str] = TOKEN
    ) -> None:
        self.name = name
        self._mark = secrets.token_hex(8)
        self._starting = subprocess.Popen(
            [
                *within,
                str(Path(sys.executable).with_name("ray")),
                "start",
                *words,
                f"--object-store-memory={_STORE}",
                "--disable-usage-stats",
                "--include-log-monitor=false",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(SWEEP_NODE_MARK=self._mark, **variables),
        )

    def until_started(self) -> "Node":
        """Waits until Ray says that the node runs."""
        output, _ = self._starting.communicate(timeout=120)
        if self._starting.returncode:
            self.kill()
            raise AssertionError(output)
        return self

    def processes(self) -> list[psutil.Process]:
        """All living processes of the node."""
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SWEEP_NODE_MARK") == self._mark:
                    found |= {process, *process.children(recursive=True)}
        return list(found)

    def has(self, pid: int) -> bool:
        """Whether a process is one of this node's."""
        return pid in {process.pid for process in self.processes()}

    def kill(self) -> None:
        """Ends all its processes at once, as when a machine loses its power."""
        while processes := self.processes():
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.1)
        if self._starting.stdout and not self._starting.stdout.closed:
            self._starting.communicate()


class Raylets:
    """A cluster: a head without CPUs, which drivers join, and nodes of one CPU each, all started at once.

    Args:
        count: Of nodes beside the head.
        host: The head's address.
        variables: Of the environment of all processes; the token that the drivers of fault tests have.
    """

    def __init__(self, count: int, variables: Mapping[str, str] = TOKEN, *, host: str = "127.0.0.1") -> None:
        self._variables = variables
        self._folder = tempfile.mkdtemp(prefix="raylets-")  # a short name, because those of sockets must be
        with socket.create_server(("", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"{host}:{port}"
        self.head = Node(
            "--head",
            f"--port={port}",
            f"--node-ip-address={host}",
            "--num-cpus=0",
            f"--temp-dir={self._folder}/head",
            "--include-dashboard=false",
            variables=variables,
        )
        self.nodes: list[Node] = []
        try:
            self.head.until_started()
            for node in [self.start() for _ in range(count)]:
                node.until_started()
        except BaseException:
            self.end()
            raise

    def start(self, name: str = "", *, within: Sequence[str] = (), **variables: str) -> Node:
        """Starts another node, which joins some seconds later; its name is its address, one of its own if not given."""
        name = name or f"127.0.1.{next(_ADDRESSES)}"
        folder = f"{self._folder}/{name}"
        words = (f"--address={self.address}", f"--node-ip-address={name}", "--num-cpus=1", f"--temp-dir={folder}")
        node = Node(*words, name=name, within=within, variables={**self._variables, **variables})
        self.nodes.append(node)
        return node

    def kill(self, node: Node) -> None:
        """Takes a node away."""
        node.kill()
        self.nodes.remove(node)

    def end(self) -> None:
        """Ends all processes; what they left on the disk is removed."""
        for node in (*self.nodes, self.head):
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
