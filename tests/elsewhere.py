"""Other places to run from: a container's processes, another user."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
# A user without a name. It may read the package, which lies in root's home where these tests run, and write nothing.
AS_SOMEBODY = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
AS_SOMEBODY += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]

_SAY = "import sys; from sweep.machine import this_process; print(this_process(), flush=True); sys.stdin.read()"


def allowed(*words: str) -> bool:
    """Whether a command that changes what a process sees of the machine may be run here."""
    try:
        return subprocess.run([*words, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


needs_namespaces = pytest.mark.skipif(not allowed(*NAMESPACE), reason="PID namespaces cannot be made here")


@contextmanager
def running(*within: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that waits, and what it is called; ended afterwards."""
    process = subprocess.Popen(
        [*within, sys.executable, "-c", _SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()
