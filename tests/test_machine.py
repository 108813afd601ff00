"""The limits of containers, in files and where one can be made; which process is meant, and what can be known of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from elsewhere import AS_SOMEBODY, NAMESPACE, allowed, needs_namespaces, running

from sweep import machine
from sweep.machine import hardware, lives, this_process
from sweep.tuning import local_node

THERE = len(os.sched_getaffinity(0))
MEMORY = psutil.virtual_memory().total


def made_up(root: Path, cgroup: str, mounts: str, files: Mapping[str, str]) -> Path:
    """The file system of a machine, as far as limits are looked up in it."""
    for name, content in {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def mount(top: str, at: str, kind: str, options: str = "rw") -> str:
    return f"30 23 0:26 {top} {at} rw,nosuid shared:4 - {kind} cgroup {options}\n"


VERSION_2 = mount("/", "/sys/fs/cgroup", "cgroup2", "rw,nsdelegate")


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    free = {"sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/memory.max": "max"}
    for root in (tmp_path / "nothing", made_up(tmp_path, "0::/", VERSION_2, free)):
        assert (machine.num_cpus(root), machine.memory_bytes(root)) == (THERE, MEMORY)


@pytest.mark.parametrize(
    ("quota", "cpus"), [("100000 100000", 1), ("50000 100000", 1), ("190000 100000", 1), ("999900000 100000", THERE)]
)
def test_of_a_share_of_a_cpu_the_whole_part_counts_and_one_is_always_left(
    tmp_path: Path, quota: str, cpus: int
) -> None:
    assert machine.num_cpus(made_up(tmp_path, "0::/", VERSION_2, {"sys/fs/cgroup/cpu.max": quota})) == cpus


def test_the_narrowest_of_nested_cgroups_counts(tmp_path: Path) -> None:
    root = made_up(
        tmp_path,
        "0::/work.slice/job.scope/step",
        VERSION_2,
        {
            "sys/fs/cgroup/work.slice/cpu.max": "100000 100000",
            "sys/fs/cgroup/work.slice/memory.max": "3000000",
            "sys/fs/cgroup/work.slice/job.scope/memory.max": "2000000",
            "sys/fs/cgroup/work.slice/job.scope/step/cpu.max": "400000 100000",
            "sys/fs/cgroup/work.slice/job.scope/step/memory.max": "max",
            "sys/fs/cgroup/other.slice/memory.max": "1000",
        },
    )
    assert (machine.num_cpus(root), machine.memory_bytes(root)) == (1, 2_000_000)


@pytest.mark.parametrize("top", ["/docker/0a1b", "/"])
def test_a_container_of_version_1_sees_its_own_part_of_each_controller(tmp_path: Path, top: str) -> None:
    at = "" if top != "/" else "/docker/0a1b"
    root = made_up(
        tmp_path,
        "9:name=systemd:/docker/0a1b\n4:memory:/docker/0a1b\n3:cpuset:/docker/0a1b\n1:cpu,cpuacct:/docker/0a1b",
        mount(top, "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct")
        + mount(top, "/sys/fs/cgroup/cpuset", "cgroup", "rw,cpuset")
        + mount(top, "/sys/fs/cgroup/memory", "cgroup", "rw,memory"),
        {
            f"sys/fs/cgroup/cpu,cpuacct{at}/cpu.cfs_quota_us": "100000",
            f"sys/fs/cgroup/cpu,cpuacct{at}/cpu.cfs_period_us": "100000",
            f"sys/fs/cgroup/memory{at}/memory.limit_in_bytes": "5000000",
        },
    )
    assert (machine.num_cpus(root), machine.memory_bytes(root)) == (1, 5_000_000)
    unlimited = {
        f"sys/fs/cgroup/cpu,cpuacct{at}/cpu.cfs_quota_us": "-1",
        f"sys/fs/cgroup/memory{at}/memory.limit_in_bytes": "9223372036854771712",
    }
    root = made_up(
        tmp_path, *((tmp_path / "proc/self" / name).read_text() for name in ("cgroup", "mountinfo")), unlimited
    )
    assert (machine.num_cpus(root), machine.memory_bytes(root)) == (THERE, MEMORY)


def test_a_cgroup_outside_of_what_is_mounted_is_limited_by_the_top_that_is(tmp_path: Path) -> None:
    root = made_up(tmp_path, "0::/../elsewhere", VERSION_2, {"sys/fs/cgroup/cpu.max": "100000 100000"})
    assert machine.num_cpus(root) == 1


@pytest.fixture
def narrow_cgroup() -> Iterator[Path]:
    """A real cgroup of one CPU."""
    for top, file, limit in (
        ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "100000"),
        ("/sys/fs/cgroup", "cpu.max", "100000 100000"),
    ):
        folder = Path(top, f"sweep-test-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / "inside").mkdir()
            (folder / file).write_text(limit)
            yield folder / "inside"
            return
        except OSError:
            continue
        finally:
            (folder / "inside").rmdir()
            folder.rmdir()
    pytest.skip("no cgroup with a limit can be made here")


def test_in_a_real_cgroup_fewer_trials_run_and_the_record_says_so(narrow_cgroup: Path) -> None:
    code = (
        "import os, sys; open(sys.argv[1] + '/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "from sweep.machine import hardware; from sweep.tuning import local_node\n"
        "print(hardware()['cores'], local_node(gpus=False).num_cpus)"
    )
    asked = subprocess.run([sys.executable, "-c", code, str(narrow_cgroup)], capture_output=True, text=True)
    assert asked.stdout.split() == ["1", "1"], asked.stderr
    assert hardware()["cores"] == local_node(gpus=False).num_cpus == machine.num_cpus()


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
        inside = "import sys; from sweep.machine import lives; print(lives(sys.argv[1]))"
        ask = [*NAMESPACE, sys.executable, "-c", inside, this_process()]
        asked = subprocess.run(ask, capture_output=True, text=True)
        assert asked.stdout.strip() == "None"


@needs_namespaces
def test_where_proc_shows_another_namespace_no_process_is_judged() -> None:
    code = "from sweep.machine import lives, this_process; print(this_process(), lives(this_process()))"
    without_its_own_proc = [word for word in NAMESPACE if word != "--mount-proc"]
    asked = subprocess.run([*without_its_own_proc, sys.executable, "-c", code], capture_output=True, text=True)
    name, judged = asked.stdout.split()
    assert name.endswith("@")
    assert judged == "None"


@pytest.mark.skipif(not allowed("unshare", "--mount"), reason="nothing can be mounted here")
def test_a_process_that_is_hidden_is_not_taken_for_dead() -> None:
    code = "import sys; from sweep.machine import lives; print(lives(sys.argv[1]))"
    ask = [sys.executable, "-c", code, this_process()]
    hide = f'mount -t proc -o hidepid=2 proc /proc && exec {" ".join(AS_SOMEBODY)} "$@"'
    hidden = ["unshare", "--mount", "sh", "-c", hide, "sh"]
    asked = subprocess.run([*hidden, *ask], capture_output=True, text=True)
    assert asked.stdout.strip() == "None", asked.stderr
