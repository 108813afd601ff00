"""Hands a sweep to a Ray cluster through Ray's job API, and follows it.

The job is what a user would type on the cluster's head: `sweep run ... --address auto --storage ...`. Ray gives it to
a shell there, so its words are checked and quoted here. A sweep file and a data file beside it travel with the job,
nothing else does.
"""

import contextlib
import logging
import os
import re
import secrets
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sweep.config import check_experiment_name, load_sweep, names_data_file, names_sweep_file
from sweep.errors import ClusterLostError, ConfigError, ResourceError, UserError, first_line
from sweep.storage import open_storage

# Ray kills a job this long after asking it to stop; the driver leaves within 10 s, and Ray would give it 3.
_STOP_WITHIN_S = 15
_STARTS_WITHIN_S = 60.0
_RECONNECT_WITHIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the cluster is to run: a command line, and its files from this machine, by name in the job's own folder."""

    words: tuple[str, ...]
    files: Mapping[str, Path]

    @property
    def entrypoint(self) -> str:
        """The command line for a shell, every word quoted."""
        return shlex.join(self.words)


def make_job(
    sweep_name: str,
    overrides: Sequence[str],
    *,
    storage: str,
    name: str | None = None,
    data_dir: str | None = None,
    extend: bool = False,
    quiet: bool = False,
) -> Job:
    """Gives the job of a sweep; the arguments are those of `sweep run`.

    Raises what `sweep run` would, and a ConfigError for a path that means nothing on another machine.
    """
    sweep = load_sweep(sweep_name, overrides)
    check_experiment_name(name or sweep.name)
    files = {}
    if names_sweep_file(sweep_name):
        files[Path(sweep_name).name] = Path(sweep_name)
        sweep_name = f"./{Path(sweep_name).name}"
    data_file = Path(sweep.dataset)
    if names_data_file(sweep.dataset) and not data_file.is_absolute() and not data_dir:
        files[sweep.dataset] = here = Path(sweep.folder or "", data_file)
        if ".." in data_file.parts or not here.is_file():
            raise ConfigError(
                f"the data file {here} cannot travel with the job; name one in the sweep file's folder, or give the "
                "absolute path of one that all nodes of the cluster share"
            )
    for option, path in (("--storage", storage), ("--data-dir", data_dir)):
        if path and not re.match("/|[a-z0-9]+://", path):
            raise ConfigError(
                f"{option} {path} means another folder on each machine; give what all nodes of the cluster share: "
                "an absolute path" + (" or s3://bucket/prefix" if option == "--storage" else "")
            )
    open_storage(storage)  # refuses what would be written down, or fail on the cluster
    words = ["sweep", "run", sweep_name, *overrides, "--address", "auto", "--storage", storage]
    words += ["--name", name] if name else []
    words += ["--data-dir", data_dir] if data_dir else []
    words += ["--extend"] * extend + ["--quiet"] * quiet
    return Job(words=tuple(words), files=files)


def submit_job(job: Job, address: str, *, follow: bool = True) -> int:
    """Runs a job on a cluster; prints its log as it is written, and on standard error how it can be reached.

    Gives the exit code of the command; 0 if it is not followed, 130 after Ctrl-C, which leaves the job running, and
    143 if it was stopped through the job API.

    Raises a ClusterLostError if the cluster has gone meanwhile, or the job ended without an exit code.
    """
    _check_address(address)
    client = _client(address)
    job_id = f"sweep-{secrets.token_hex(6)}"
    _hand_over(client, job, job_id, address)
    reach = f"{job_id} --address {address}"
    commands = f"follow it with: ray job logs --follow {reach}; stop it with: ray job stop {reach}"
    try:
        _say(f"submitted {job_id}; {commands}")
        return _follow(client, job_id, address) if follow else 0
    except KeyboardInterrupt:
        _say(f"the job goes on; {commands}")
        return 130


def _check_address(address: str) -> None:
    """A wrong address would cost minutes of silence inside Ray."""
    try:
        parts = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    if not port or not parts.hostname or parts.username or parts.password:
        raise ResourceError(
            f"{address!r} is not the address of a job server; write http://host:8265 (the port of the head's dashboard)"
        )
    try:
        socket.create_connection((parts.hostname, port), timeout=5).close()
    except OSError as error:
        raise ResourceError(
            f"nothing answers at {address} ({error}); the head must run with --include-dashboard=true, and its port "
            "8265 be reachable from here"
        ) from None


def _client(address: str) -> Any:
    """Gives Ray's job client, connected."""
    try:
        import aiohttp  # noqa: F401  (what the client cannot do without)
        import ray.exceptions
        from ray._private.authentication.authentication_utils import is_token_auth_enabled
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise UserError(
            f"submitting needs Ray's job client ({error.name} is not installed): pip install 'ray[default]'"
        ) from None
    logging.disable(logging.INFO)  # of Ray's uploads
    # Ray would let them win over what was asked for.
    for variable in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        os.environ.pop(variable, None)
    try:
        client = JobSubmissionClient(address)
    except ray.exceptions.AuthenticationError:
        raise ResourceError(
            f"{address} wants a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the "
            "cluster's own"
        ) from None
    except (RuntimeError, ValueError, OSError) as error:
        raise ResourceError(f"no job server of Ray answers at {address}: {first_line(error)}") from error
    if not is_token_auth_enabled():
        _say(
            f"warning: {address} takes jobs without a token, so whoever reaches it can run code there; start the "
            "cluster with RAY_AUTH_MODE=token"
        )
    return client


def _hand_over(client: Any, job: Job, job_id: str, address: str) -> None:
    """Submits, again for a while if the cluster has only just started."""
    deadline = time.monotonic() + _STARTS_WITHIN_S
    with tempfile.TemporaryDirectory(prefix="sweep-submit-") as folder:
        for name, file in job.files.items():
            copy = Path(folder, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        environment = {"working_dir": folder, "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_WITHIN_S)}}
        while True:
            try:
                client.submit_job(entrypoint=job.entrypoint, submission_id=job_id, runtime_env=environment)
                return
            except (RuntimeError, ValueError, OSError) as error:
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    raise ResourceError(f"{address} does not take the job: {first_line(error)}") from error
            time.sleep(1)


def _follow(client: Any, job_id: str, address: str) -> int:
    """Prints the log until the job has ended, however often the connection is lost; gives its exit code."""
    num_printed, seen_at = 0, time.monotonic()
    while True:
        try:
            details = client.get_job_info(job_id)
        except (RuntimeError, OSError) as error:
            if time.monotonic() - seen_at > _RECONNECT_WITHIN_S:
                raise ClusterLostError(
                    f"{address} has not answered for {_RECONNECT_WITHIN_S:.0f} s ({first_line(error)}); "
                    "when it does, the same command goes on with what is left"
                ) from error
        else:
            seen_at = time.monotonic()
            with contextlib.suppress(RuntimeError, OSError):  # a lost connection is reported by the next question
                log = client.get_job_logs(job_id)
                print(log[num_printed:], end="", flush=True)
                num_printed = len(log)
            if details.status.is_terminal():
                return _exit_code(details, address)
        time.sleep(1)


def _exit_code(details: Any, address: str) -> int:
    if details.status == "STOPPED":
        _say("the job was stopped; the same command goes on with what is left")
        return 143
    code: int | None = details.driver_exit_code
    if code is None:
        reason = first_line(details.message or "no reason given")
        raise ClusterLostError(f"the job has failed ({reason}); the same command goes on with what is left")
    if code == 127:
        raise ResourceError(f"there is no command `sweep` on the cluster at {address}; install it on every node")
    return code if code >= 0 else 128 - code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
