"""A Ray cluster to train on: a private one on this machine, or the user's own.

Ray must be told several things before it is imported, and says little that a user can act on.
"""

import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sweep as package
from sweep import machine
from sweep.errors import ResourceError, reason
from sweep.tuning.guard import guarded
from sweep.tuning.head import UNPROTECTED, Head, find_head, watched
from sweep.tuning.nodes import Node, living_nodes
from sweep.tuning.private import check_machine, make_folder, not_started, without_onlookers

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
    # Nothing of ours: they do not know yet which `sweep` the driver runs, and might import another that is installed.
    "RAY_preload_python_modules": "torch,ray.tune",
    # Ray ends a waiting worker after a second, often just before the first trial would have taken it.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    # Its warning would come after ours, and hangs all the same.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
}


class Cluster:
    """A running Ray cluster, as a context manager.

    Joins the user's at an address, "host:port" or "auto"; None starts a private one and stops it again. `on_lost` is
    called from a thread, with what of Ray has been lost meanwhile. After entering, `warning` is what the user should
    know of a cluster that was joined; a ResourceError is raised if none answers or it does not accept our token.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        object_store_gb: float = 0.5,
        on_lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._address, self._object_store_gb, self._on_lost = address, object_store_gb, on_lost
        self.warning = ""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
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
        with contextlib.ExitStack() as leaving:
            try:
                leaving.enter_context(guarded(folder))
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise not_started(error, folder) from error
            if head:
                self.warning = "" if head.tokens else UNPROTECTED
                authentication = {"RAY_AUTH_MODE": "token" if head.tokens else "disabled"}
            else:  # Ray's processes listen on all interfaces; the token never leaves their environment
                authentication = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
            leaving.callback(_authenticate, _authenticate(authentication))
            tempfile.tempdir = str(folder)  # of this process too: what is in it goes, however this process ends
            leaving.callback(setattr, tempfile, "tempdir", None)
            leaving.callback(_shut_down)
            self._init(folder, head)
            leaving.enter_context(watched(self._on_lost, head))
            self._leaving = leaving.pop_all()
        return self

    def __exit__(self, *ending: object) -> None:
        self._leaving.close()

    @property
    def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        return living_nodes()

    def _init(self, folder: Path, head: Head | None) -> None:
        import ray

        # It tells its cluster the command line, and fails over letters that are not UTF-8.
        ray._private.utils.get_entrypoint_name = lambda: "sweep"
        options: dict[str, Any] = {"address": head.address} if head else _private(folder, self._object_store_gb)
        try:
            with without_onlookers():
                ray.init(
                    **options,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,  # errors are raised, and said by us
                    job_config=_job_config(),
                )
        except Exception as error:  # Ray raises whatever the file system, the network and its own parts raise
            if not head:
                raise not_started(error, folder) from error
            raise ResourceError(
                f"cannot join the Ray cluster at {head.address} ({reason(error)}); "
                "check that it runs with `ray status`, or leave --address out"
            ) from error
        logging.getLogger("ray").setLevel(logging.ERROR)
        ray._private.worker._worker_logs_enabled = False  # log_to_driver leaves what raylets say of lost nodes
        # Its tracebacks of lost workers say less than our line about the same trial.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


def _private(folder: Path, object_store_gb: float) -> dict[str, Any]:
    memory = machine.memory_bytes()
    return {
        "address": "local",
        "num_cpus": machine.num_cpus(),
        "object_store_memory": int(min(object_store_gb * 1e9, memory / 2)),
        "include_dashboard": False,
        "_memory": memory,
        "_temp_dir": str(folder / "r"),
        # Ray looks at its size before it asks whether it is there.
        "_plasma_directory": None if os.access("/dev/shm", os.W_OK) else str(folder),
    }


def _job_config() -> Any:
    from ray.job_config import JobConfig

    class OnlyInstalled(JobConfig):
        """Leaves out the current folder, which Ray would put first on the import path of the workers.

        A file there may be called like any module that they import, `sweep.py` for one.
        """

        def _runtime_env_has_working_dir(self) -> bool:
            return True  # what Ray asks before it adds the folder, and for nothing else

    source = str(Path(package.__file__).parents[1])
    # Of a package that runs from its source without being installed.
    return OnlyInstalled(_py_driver_sys_path=[] if source in sys.path else [source])


def _shut_down() -> None:
    import ray

    with contextlib.suppress(Exception):  # a cluster that is already gone cannot be left
        ray.shutdown()


def _authenticate(environment: Mapping[str, str | None]) -> dict[str, str | None]:
    """Sets Ray's way of authentication for this process and those it starts, None removes a variable; gives the old."""
    before = {name: os.environ.pop(name, None) for name in environment}
    os.environ.update({name: value for name, value in environment.items() if value is not None})
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")  # what Ray read when it was first imported
    AuthenticationTokenLoader.instance().reset_cache()
    return before
