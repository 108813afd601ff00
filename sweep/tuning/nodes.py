"""Compares every node of a joined cluster with the driver, before anything is trained and when a node refuses.

One task on each node, all at once: it tells the versions of what the numbers depend on, reads a file that the driver
has written to the storage path, and writes one of its own that the driver reads.
"""

import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from sweep.errors import ResourceError, StorageError, last_line
from sweep.machine import version_reader
from sweep.storage import Storage

_WITHIN_S = 60.0
# A network file system may show a new file a little late.
_VISIBLE_WITHIN_S = 3.0
_PACKAGES = ("torch", "ray", "numpy", "sweep")
_NOT_SHARED = (
    "does not see what this driver writes to PATH; give with --storage a folder of a file system that all nodes "
    "mount at the same place, or s3://bucket/prefix"
)


def check_nodes(storage: Storage) -> str:
    """Says how many nodes are like this driver and share the storage; leaves no file behind.

    Raises:
        ResourceError: if a node has other versions, lacks a package or does not answer; names the node.
        StorageError: if a node does not share the storage or cannot write to it; names the node.
    """
    nodes = _nodes()
    probe, content = f".tmp-probe-{secrets.token_hex(8)}", secrets.token_bytes(32)
    with storage.no_empty_folders():
        try:
            storage.write(probe, content)
            answers = _ask(nodes, str(storage), probe, content)
            for node_id, answer in answers.items():
                _check_versions(nodes[node_id], answer["versions"])
            for node_id, answer in answers.items():
                if problem := answer["problem"] or _unseen(storage, f"{probe}-{node_id}", content[::-1]):
                    raise StorageError(f"node {nodes[node_id]} {problem}")
        finally:
            for name in (probe, *(f"{probe}-{node_id}" for node_id in nodes)):
                with contextlib.suppress(StorageError):
                    storage.delete(name)
    count = f"{len(answers)} nodes have" if len(answers) > 1 else "1 node has"
    return f"{count} this driver's versions and share{'' if len(answers) > 1 else 's'} {storage}"


def versions() -> dict[str, str]:
    """Gives the versions here of what the numbers depend on."""
    return version_reader(_PACKAGES)()


def is_a_node_gone() -> bool:
    """Whether a node that Ray believes alive accepts no connection: its workers are lost before Ray says it is."""
    import ray

    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            try:
                socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=1).close()
            except OSError:
                return True
    return False


def _nodes() -> dict[str, str]:
    """The addresses of the nodes that are alive, by Ray's node id."""
    import ray

    return {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    }


def _ask(nodes: Mapping[str, str], root: str, probe: str, content: bytes) -> dict[str, dict[str, Any]]:
    """Gives the answers of all nodes that are still alive, by node id."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(_code_for_nodes())
    tasks = {
        node_id: task.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)
        ).remote(versions(), root, probe, f"{probe}-{node_id}", content)
        for node_id in nodes
    }
    ray.wait(list(tasks.values()), num_returns=len(tasks), timeout=_WITHIN_S)
    answers = {}
    for node_id, asked in tasks.items():
        try:
            answers[node_id] = ray.get(asked, timeout=0)
        except ray.exceptions.GetTimeoutError:
            problem = f"has not answered within {_WITHIN_S:.0f} s; see Ray's logs there, or take it out of the cluster"
        except ray.exceptions.RayError as error:
            problem = f"cannot run a task ({last_line(error)}); {_advice()}"
        if node_id not in answers and node_id in _nodes():
            raise ResourceError(f"node {nodes[node_id]} {problem}")
    return answers


def _check_versions(node: str, found: Mapping[str, str]) -> None:
    here = versions()
    if different := [name for name in here if found[name] != here[name]]:
        there = ", ".join(f"{name} {found[name]}" for name in different)
        ours = ", ".join(f"{name} {here[name]}" for name in different)
        raise ResourceError(f"node {node} has {there}, this driver has {ours}; {_advice()}")


def _advice() -> str:
    import ray

    if ray._private.worker._global_node.is_head():  # type: ignore[attr-defined]  # a private one, on this machine
        return "see which files Python imports here: a module of yours may have the name of a package (PYTHONPATH)"
    return "install the same versions on every node"


def _unseen(storage: Storage, path: str, content: bytes) -> str:
    """Says what is wrong if a node's file cannot be read here."""
    deadline = time.monotonic() + _VISIBLE_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if storage.read(path) == content:
                return ""
        time.sleep(0.1)
    return _NOT_SHARED.replace("PATH", str(storage))


def _code_for_nodes() -> Callable[..., dict[str, Any]]:
    """Gives what every node executes: a local function, which travels whole to nodes that may lack this module."""
    versions, not_shared, visible_within_s = version_reader(_PACKAGES), _NOT_SHARED, _VISIBLE_WITHIN_S

    def look(expected: dict[str, str], root: str, probe: str, answer: str, content: bytes) -> dict[str, Any]:
        import time

        here = versions()
        if here != expected:
            return {"versions": here}
        from sweep.errors import StorageError
        from sweep.storage import open_storage

        storage, problem = open_storage(root), not_shared.replace("PATH", root)
        deadline = time.monotonic() + visible_within_s
        while problem and time.monotonic() < deadline:
            try:
                if storage.read(probe) == content:
                    storage.write(answer, content[::-1])
                    problem = ""
            except FileNotFoundError:
                time.sleep(0.1)
            except (StorageError, OSError) as error:
                problem = str(error)
                break
        return {"versions": here, "problem": problem}

    return look
