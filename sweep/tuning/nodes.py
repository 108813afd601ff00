"""What the nodes of a cluster offer, and whether they are like the driver.

Every node of a joined cluster is compared with the driver before anything is trained, and when a node refuses: one
task on each node, all at once, tells the versions of what the numbers depend on, reads a file that the driver has
written to the storage path, and writes one of its own that the driver reads.
"""

import contextlib
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep import machine
from sweep.config import Resources
from sweep.errors import ResourceError, StorageError, last_line
from sweep.plan import Work, Worker
from sweep.records import Manifest
from sweep.storage import Storage, open_storage

_GPU_SHARE = 0.25
_WITHIN_S = 60.0
_VISIBLE_WITHIN_S = 3.0  # a network file system may show a new file a little late
_PACKAGES = ("torch", "ray", "numpy", "sweep")


@dataclass(frozen=True, kw_only=True)
class Node:
    """What a node offers, its address for messages, and what Ray knows of it."""

    name: str
    num_cpus: float
    num_gpus: float
    node_id: str = ""
    port: int = 0


def local_node(*, gpus: bool) -> Node:
    """What this machine offers to a private cluster; GPUs are only counted if asked for, which imports torch."""
    num_gpus = 0
    if gpus:
        import torch

        num_gpus = torch.cuda.device_count()
    return Node(name="this machine", num_cpus=machine.num_cpus(), num_gpus=num_gpus)


def living_nodes() -> list[Node]:
    """The nodes of the cluster that Ray believes alive."""
    import ray

    return [
        Node(
            name=node["NodeManagerAddress"],
            num_cpus=node["Resources"].get("CPU", 0.0),
            num_gpus=node["Resources"].get("GPU", 0.0),
            node_id=node["NodeID"],
            port=node["NodeManagerPort"],
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def is_a_node_gone() -> bool:
    """Whether a node that Ray believes alive accepts no connection: its workers are lost before Ray says it is."""
    for node in living_nodes():
        try:
            socket.create_connection((node.name, node.port), timeout=1).close()
        except OSError:
            return True
    return False


def share_of_gpu(resources: Resources, nodes: Sequence[Node], manifest: Manifest | None = None) -> float:
    """Gives the GPUs of a trial: as asked for, or with "auto" a share where a node has a GPU.

    An experiment, if its manifest is given, stays on the kind of device it began on, unless told otherwise.
    """
    if resources.num_gpus != "auto":
        return float(resources.num_gpus)
    if manifest and manifest.fingerprint.get("device") == "cpu":
        return 0.0
    return _GPU_SHARE if any(node.num_gpus for node in nodes) else 0.0


def check_resources(resources: Resources, nodes: Sequence[Node]) -> str:
    """Says what runs at a time; a ResourceError if no node can ever run a trial, for which Ray would wait."""
    cpus, gpus = resources.num_cpus, share_of_gpu(resources, nodes)
    at_a_time = sum(min(node.num_cpus // cpus, node.num_gpus // gpus if gpus else float("inf")) for node in nodes)
    if at_a_time < 1:
        offers = "; ".join(f"{node.name}: {node.num_cpus:g} CPUs, {node.num_gpus:g} GPUs" for node in nodes)
        raise ResourceError(
            f"a trial asks for {cpus} CPUs and {gpus:g} GPUs, but no node has that much ({offers}); "
            f"lower {'num_gpus' if all(node.num_gpus < gpus for node in nodes) else 'num_cpus'}"
        )
    at_a_time = min(at_a_time, resources.max_concurrent or at_a_time)
    return f"{at_a_time:g} trials at a time, {cpus} CPUs and {gpus:g} GPUs each"


def ask_worker(resources: Resources, num_gpus: float, work: Work, *, joined: bool) -> Worker:
    """Gives what the numbers of a trial will depend on where it is trained.

    Where a cluster is `joined`, a worker with the resources of a trial is waited for: the driver may have no GPU, or
    another processor. On a private cluster the driver is like its workers.
    """

    def describe() -> Worker:
        from sweep.trial import describe_worker

        return describe_worker(num_threads=resources.num_cpus, device="cuda" if num_gpus else "cpu", work=work)

    if not joined:
        return describe()
    import ray

    answer: Worker = ray.get(ray.remote(num_cpus=resources.num_cpus, num_gpus=num_gpus)(describe).remote())
    return answer


def versions() -> dict[str, str]:
    """Gives the versions here of what the numbers depend on."""
    return machine.versions(_PACKAGES)


def check_nodes(storage: Storage) -> str:
    """Says how many nodes are like this driver and share the storage; leaves no file behind.

    Raises, with the name of the node, a ResourceError if it has other versions, lacks a package or does not answer, and
    a StorageError if it does not share the storage or cannot write to it.
    """
    nodes, here = living_nodes(), versions()
    probe, content = f".tmp-probe-{secrets.token_hex(8)}", secrets.token_bytes(32)
    with storage.no_empty_folders():
        try:
            storage.write(probe, content)
            answers = _ask(nodes, here, str(storage), probe, content)
            for node, answer in answers:
                there = answer["versions"]
                if different := [name for name in here if there[name] != here[name]]:
                    theirs, ours = (", ".join(f"{name} {side[name]}" for name in different) for side in (there, here))
                    raise ResourceError(f"node {node.name} has {theirs}, this driver has {ours}; {_advice()}")
            for node, answer in answers:
                if problem := answer["problem"] or _unseen(storage, f"{probe}-{node.node_id}", content[::-1]):
                    raise StorageError(f"node {node.name} {problem}")
        finally:
            for path in (probe, *(f"{probe}-{node.node_id}" for node in nodes)):
                with contextlib.suppress(StorageError):
                    storage.delete(path)
    count = f"{len(answers)} nodes have" if len(answers) > 1 else "1 node has"
    return f"{count} this driver's versions and share{'' if len(answers) > 1 else 's'} {storage}"


def _ask(
    nodes: Sequence[Node], here: Mapping[str, str], root: str, probe: str, content: bytes
) -> list[tuple[Node, dict[str, Any]]]:
    """Gives the answers of all nodes that are still alive."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Not the module that a node may lack: a local function travels whole, and this lets what it calls do so too.
    ray.cloudpickle.register_pickle_by_value(machine)  # type: ignore[no-untyped-call]
    read_versions, packages = machine.versions, _PACKAGES

    def look(node_id: str) -> dict[str, Any]:
        found = read_versions(packages)
        if found != here:
            return {"versions": found}
        from sweep.tuning.nodes import answer_probe

        return {"versions": found, "problem": answer_probe(root, probe, f"{probe}-{node_id}", content)}

    task, there = ray.remote(num_cpus=0, max_retries=0)(look), NodeAffinitySchedulingStrategy
    tasks = [task.options(scheduling_strategy=there(node.node_id, soft=False)).remote(node.node_id) for node in nodes]
    ray.wait(tasks, num_returns=len(tasks), timeout=_WITHIN_S)
    answers = []
    for node, asked in zip(nodes, tasks, strict=True):
        try:
            answers.append((node, ray.get(asked, timeout=0)))
            continue
        except ray.exceptions.GetTimeoutError:
            problem = f"has not answered within {_WITHIN_S:.0f} s; see Ray's logs there, or take it out of the cluster"
        except ray.exceptions.RayError as error:
            problem = f"cannot run a task ({last_line(error)}); {_advice()}"
        if any(living.node_id == node.node_id for living in living_nodes()):
            raise ResourceError(f"node {node.name} {problem}")
    return answers


def answer_probe(root: str, probe: str, answer: str, content: bytes) -> str:
    """On a node: reads the driver's file and writes the answer; says what is wrong, "" if nothing is."""
    storage = open_storage(root)
    try:
        problem = _unseen(storage, probe, content)
        if not problem:
            storage.write(answer, content[::-1])
    except (StorageError, OSError) as error:
        return str(error)
    return problem


def _unseen(storage: Storage, path: str, content: bytes) -> str:
    """Says what is wrong if a file that somebody else has written cannot be read here."""
    deadline = time.monotonic() + _VISIBLE_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if storage.read(path) == content:
                return ""
        time.sleep(0.1)
    return (
        f"does not see what this driver writes to {storage}; give with --storage a folder of a file system that all "
        "nodes mount at the same place, or s3://bucket/prefix"
    )


def _advice() -> str:
    import ray

    if ray._private.worker._global_node.is_head():  # type: ignore[attr-defined]  # a private one, on this machine
        return "see which files Python imports here: a module of yours may have the name of a package (PYTHONPATH)"
    return "install the same versions on every node"
