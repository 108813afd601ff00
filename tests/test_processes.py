"""Which process is meant, and what can be known of it from where."""

import os
import signal
import subprocess
import sys

import pytest
from elsewhere import AS_SOMEBODY, NAMESPACE, allowed, needs_namespaces, running

from sweep.processes import lives, this_process


def test_a_process_lives_until_it_is_killed_though_nobody_has_asked_yet_how_it_ended() -> None:
    assert lives(this_process()) is True
    with running() as (process, name):
        assert name.startswith(f"{process.pid}-")
        assert lives(name) is True
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
        assert lives(name) is False
    assert lives(name) is False


def test_a_pid_that_was_given_again_is_another_process() -> None:
    pid, _, rest = this_process().partition("-")
    start, _, place = rest.partition("@")
    assert lives(f"{pid}-{int(start) - 1}@{place}") is False


@pytest.mark.parametrize("name", ["", "None", "1", "1-1", "1-1@", "@", "1-1@elsewhere", "-1@x", "1-@"])
def test_a_name_from_elsewhere_or_without_its_parts_tells_nothing(name: str) -> None:
    assert lives(name) is None
    pid, _, rest = this_process().partition("-")
    assert lives(f"{pid}-@{rest.partition('@')[2]}") is None


@needs_namespaces
def test_a_process_of_another_pid_namespace_cannot_be_judged() -> None:
    with running(*NAMESPACE) as (_, name):
        assert name.startswith("1-")
        assert lives(name) is None
        inside = "import sys; from sweep.processes import lives; print(lives(sys.argv[1]))"
        ask = [*NAMESPACE, sys.executable, "-c", inside, this_process()]
        asked = subprocess.run(ask, capture_output=True, text=True)
        assert asked.stdout.strip() == "None"


@needs_namespaces
def test_where_proc_shows_another_namespace_no_process_is_judged() -> None:
    code = "from sweep.processes import lives, this_process; print(this_process(), lives(this_process()))"
    without_its_own_proc = [word for word in NAMESPACE if word != "--mount-proc"]
    asked = subprocess.run([*without_its_own_proc, sys.executable, "-c", code], capture_output=True, text=True)
    name, judged = asked.stdout.split()
    assert name.endswith("@")
    assert judged == "None"


@pytest.mark.skipif(not allowed("unshare", "--mount"), reason="nothing can be mounted here")
def test_a_process_that_is_hidden_is_not_taken_for_dead() -> None:
    code = "import sys; from sweep.processes import lives; print(lives(sys.argv[1]))"
    ask = [sys.executable, "-c", code, this_process()]
    hide = f'mount -t proc -o hidepid=2 proc /proc && exec {" ".join(AS_SOMEBODY)} "$@"'
    hidden = ["unshare", "--mount", "sh", "-c", hide, "sh"]
    asked = subprocess.run([*hidden, *ask], capture_output=True, text=True)
    assert asked.stdout.strip() == "None", asked.stderr
