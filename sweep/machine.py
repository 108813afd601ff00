"""This machine, as far as this process may use it; and this process, as others may know it.

A limit of a cgroup holds for all that is below it, so those of every cgroup around this process count. A PID means
something only within one PID namespace of one running kernel: two containers count alike, and so do two machines that
share a host name. So a process is known by its place, which is both, its PID and its start: PIDs are given again.
"""

import hashlib
import os
import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

NOT_THERE = "none"
_PACKAGES = ("sweep", "torch", "torchvision", "ray", "numpy", "scipy")


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Versions of Python and of what the numbers may depend on, `NOT_THERE` for what is not installed."""
    import importlib.metadata

    found = {"python": platform.python_version()}
    for name in packages:
        try:
            if name == "sweep":  # which need not be installed to be imported
                module = importlib.import_module(name)
                found[name] = getattr(module, "__version__", str(module))  # the latter says its file
            else:
                found[name] = importlib.metadata.version(name)
        except ImportError:
            found[name] = NOT_THERE
    return found


def hardware() -> dict[str, Any]:
    """This machine for people to read."""
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "machine": platform.machine(),
        "processor": names[0] if names else platform.processor(),
        "cores": num_cpus(),
        "memory_gb": round(memory_bytes() / 1e9, 1),
        "system": platform.system(),
    }


def num_cpus(root: Path = Path("/")) -> int:
    """CPUs that this process may keep busy, at least 1; of a share of a CPU the whole part counts."""
    limits = [float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)]
    for folder in _cgroups("cpu", root):
        quota, period = (_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        words = (_read(folder / "cpu.max") or f"{quota} {period}").split()
        if len(words) == 2 and all(word.isdecimal() for word in words):  # neither "max" nor -1
            limits.append(int(words[0]) / int(words[1]))
    return max(1, int(min(limits)))


def memory_bytes(root: Path = Path("/")) -> int:
    """Memory that this process may fill, in bytes."""
    import psutil

    limits = [psutil.virtual_memory().total]
    for folder in _cgroups("memory", root):
        limit = (_read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")).strip()
        limits += [int(limit)] if limit.isdecimal() else []
    return min(limits)


def this_process() -> str:
    """Gives `pid-start@place`, letters that may stand in a file's name; parts that cannot be known are empty."""
    return f"{os.getpid()}-{_start('self') or ''}@{_place()}"


def lives(process: str) -> bool | None:
    """Whether a process still runs, given what its `this_process` said; None if that cannot be known from here."""
    which, _, place = process.partition("@")
    pid, _, start = which.partition("-")
    if not (pid.isdecimal() and start and place and place == _place()):
        return None
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is there, and another user's
    now = _start(pid)
    return None if now is None else now == start


def _start(pid: str) -> str | None:
    """In clock ticks after the boot, which no clock that is set changes; "" if it has ended, None if that is hidden."""
    fields = _read(Path("/proc", pid, "stat")).rpartition(")")[2].split()
    if not fields:
        return None
    return "" if fields[0] in ("Z", "X") else fields[19]  # killed, and its parent has not asked how it ended


def _place() -> str:
    """Names this PID namespace of this running kernel; "" if it cannot be known, or `/proc` is another namespace's."""
    try:
        pid, namespace = os.readlink("/proc/self"), os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    boot = _read(Path("/proc/sys/kernel/random/boot_id")).strip()
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12] if boot and pid == str(os.getpid()) else ""


def _cgroups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of all cgroups around this process: of version 2, and of version 1 for a controller.

    Source: cgroups(7), proc(5). What is mounted at a place may be a part of the hierarchy, as in a container.
    """
    below = {}
    for controllers, path in re.findall(r"(?m)^\d+:(.*?):(.*)$", _read(root / "proc/self/cgroup")):
        if not controllers or controller in controllers.split(","):
            below["cgroup" if controllers else "cgroup2"] = path
    mounts = re.findall(r"(?m)^\S+ \S+ \S+ (\S+) (\S+) .* - (cgroup2?) \S+ (\S+)$", _read(root / "proc/self/mountinfo"))
    for top, mounted_at, kind, options in mounts:
        if kind in below and (kind == "cgroup2" or controller in options.split(",")):
            path = os.path.relpath(below[kind], top)
            parts = () if path.startswith("..") else Path(path).parts
            for depth in range(len(parts) + 1):
                yield root.joinpath(mounted_at.lstrip("/"), *parts[:depth])


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
