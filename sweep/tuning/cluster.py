"""A Ray cluster to train on: a private one on this machine, or the user's own.

Ray must be told several things before it is imported, and says little that a user can act on; so the settings, the
checks before anything is trained, and the messages are here.
"""

import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import sweep as package
from sweep import machine
from sweep.config import Resources
from sweep.errors import ResourceError, reason
from sweep.records import Manifest
from sweep.tuning.guard import Guard
from sweep.tuning.join import UNPROTECTED, Head, find_head
from sweep.tuning.lean import without_onlookers
from sweep.tuning.private import check_machine, make_folder, not_started
from sweep.tuning.watch import Watch

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's own snapshots are never read; every write of one is work for nothing.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "64",
    # Ours are installed after ray.init, and one of them must stay in force.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Workers import these as they start, while the driver still waits for Ray; a trial would wait for them later.
    "RAY_preload_python_modules": "torch,ray.tune",
    # Ray ends a waiting worker after a second, often just before the first trial would have taken it.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    # Its warning would come after ours, and hangs all the same.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
}
_GPU_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Node:
    """What a node offers: CPUs, GPUs, and its address for messages."""

    name: str
    num_cpus: float
    num_gpus: float


class Cluster:
    """A running Ray cluster, as a context manager.

    Args:
        address: Of the user's cluster ("host:port" or "auto"); None starts a private one and stops it again.
        object_store_gb: Memory for the data set on a private cluster, in GB.
        on_lost: Called from a thread, with what of Ray has been lost meanwhile.

    Attributes:
        warning: What the user should know about the cluster that was joined, "" if there is nothing.

    Raises:
        ResourceError: on entering, if no cluster answers at the address or it does not accept our token.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        object_store_gb: float = 0.5,
        on_lost: Callable[[str], None] = lambda what: None,
    ) -> None:
        self._address = address
        self._object_store_gb = object_store_gb
        self._on_lost = on_lost
        self.warning = ""
        self._environment_before: dict[str, str | None] = {}
        self._guard: Guard | None = None
        self._watch: Watch | None = None
        os.environ |= {key: os.environ.get(key, value) for key, value in _QUIET.items()}
        try:
            Path.home()
        except RuntimeError:
            os.environ["HOME"] = os.devnull  # Ray's modules ask for it as they are imported, and use it for nothing
        import ray  # noqa: F401  (before whatever other threads import: on entering, Ray's processes start at once)

    def __enter__(self) -> "Cluster":
        head = find_head(self._address) if self._address else None
        if not head:
            check_machine()
        folder = make_folder()
        try:
            self._guard = Guard(folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise not_started(error, folder) from error
        tempfile.tempdir = str(folder)  # of this process too: what is in it goes, however this process ends
        import ray

        # It tells its cluster the command line, and fails over letters that are not UTF-8.
        ray._private.utils.get_entrypoint_name = lambda: "sweep"
        if head:
            self._join(head)
        else:
            self._start(folder)
        logging.getLogger("ray").setLevel(logging.ERROR)
        ray._private.worker._worker_logs_enabled = False  # log_to_driver leaves what raylets say of lost nodes
        # Its tracebacks of lost workers say less than our line about the same trial.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        self._watch = Watch(self._on_lost, head=head.address if head else None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        if self._watch:
            self._watch.stop()
        with contextlib.suppress(Exception):  # a cluster that is already gone cannot be left
            ray.shutdown()
        if self._guard:
            self._guard.release()
        tempfile.tempdir = None
        self._authenticate(self._environment_before)

    def _join(self, head: Head) -> None:
        import ray

        self.warning = "" if head.tokens else UNPROTECTED
        self._authenticate({"RAY_AUTH_MODE": "token" if head.tokens else "disabled"})
        try:
            ray.init(address=head.address, **_quiet())
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            self.__exit__(None, None, None)
            raise ResourceError(
                f"cannot join the Ray cluster at {head.address} ({reason(error)}); "
                "check that it runs with `ray status`, or leave --address out"
            ) from error

    def _start(self, folder: Path) -> None:
        import ray

        # Ray's processes listen on all interfaces; the token never leaves their environment.
        self._authenticate({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
        memory = machine.memory_bytes()
        try:
            with without_onlookers():
                ray.init(
                    address="local",
                    num_cpus=machine.num_cpus(),
                    object_store_memory=int(min(self._object_store_gb * 1e9, memory / 2)),
                    include_dashboard=False,
                    _memory=memory,
                    _temp_dir=str(folder / "r"),
                    # Ray looks at its size before it asks whether it is there.
                    _plasma_directory=None if os.access("/dev/shm", os.W_OK) else str(folder),
                    **_quiet(),
                )
        except Exception as error:  # Ray raises whatever the file system, the network and its own parts raise
            problem = not_started(error, folder)
            self.__exit__(None, None, None)
            raise problem from error

    def _authenticate(self, environment: Mapping[str, str | None]) -> None:
        """Sets Ray's way of authentication for this process and those it starts; None removes a variable."""
        self._environment_before = {name: os.environ.pop(name, None) for name in environment}
        os.environ.update({name: value for name, value in environment.items() if value is not None})
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

        Config.initialize("")  # what Ray read when it was first imported
        AuthenticationTokenLoader.instance().reset_cache()

    @property
    def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        import ray

        return [
            Node(
                name=node["NodeManagerAddress"],
                num_cpus=node["Resources"].get("CPU", 0.0),
                num_gpus=node["Resources"].get("GPU", 0.0),
            )
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"]
        ]


def _quiet() -> dict[str, Any]:
    """The options of every start; errors of one are raised and said by us, and need not be logged too."""
    from ray.job_config import JobConfig

    class OnlyInstalled(JobConfig):
        """Leaves out the current folder, which Ray would put first on the import path of the workers.

        A file there may be called like any module that they import, `sweep.py` for one.
        """

        def _runtime_env_has_working_dir(self) -> bool:
            return True  # what Ray asks before it adds the folder, and for nothing else

    source = str(Path(package.__file__).parents[1])
    return {
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
        # Of a package that runs from its source without being installed.
        "job_config": OnlyInstalled(_py_driver_sys_path=[] if source in sys.path else [source]),
    }


def local_node(*, gpus: bool) -> Node:
    """What this machine offers to a private cluster; GPUs are only counted if asked for, which imports torch."""
    num_gpus = 0
    if gpus:
        import torch

        num_gpus = torch.cuda.device_count()
    return Node(name="this machine", num_cpus=machine.num_cpus(), num_gpus=num_gpus)


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
    """Says what runs at a time.

    Raises:
        ResourceError: if no node can ever run a trial; Ray would wait for one without end.
    """
    gpus = share_of_gpu(resources, nodes)
    at_a_time = sum(
        min(node.num_cpus // resources.num_cpus, node.num_gpus // gpus if gpus else float("inf")) for node in nodes
    )
    if at_a_time < 1:
        offers = "; ".join(f"{node.name}: {node.num_cpus:g} CPUs, {node.num_gpus:g} GPUs" for node in nodes)
        raise ResourceError(
            f"a trial asks for {resources.num_cpus} CPUs and {gpus:g} GPUs, but no node has that much ({offers}); "
            f"lower {'num_gpus' if all(node.num_gpus < gpus for node in nodes) else 'num_cpus'}"
        )
    limit = resources.max_concurrent or at_a_time
    return f"{min(at_a_time, limit):g} trials at a time, {resources.num_cpus} CPUs and {gpus:g} GPUs each"
