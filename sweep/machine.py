"""What this machine gives to this process: versions, processor, CPUs and memory.

CPUs and memory are those within the limits of its container, cgroup or affinity. A limit of a cgroup holds for all
that is below it, so those of every cgroup around this process count.
"""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

NOT_THERE = "none"
_PACKAGES = ("sweep", "torch", "torchvision", "ray", "numpy", "scipy")
_ROOT = Path("/")


def versions() -> dict[str, str]:
    """Versions of what the numbers may depend on, `NOT_THERE` for what is not installed."""
    return version_reader(_PACKAGES)()


def version_reader(packages: Sequence[str]) -> Callable[[], dict[str, str]]:
    """Gives what reads the versions where it is called: a local function, which travels whole to nodes without this."""
    not_there = NOT_THERE

    def read() -> dict[str, str]:
        import importlib
        import importlib.metadata
        import platform

        found = {"python": platform.python_version()}
        for name in packages:
            try:
                if name == "sweep":  # which need not be installed to be imported
                    module = importlib.import_module(name)
                    found[name] = getattr(module, "__version__", str(module))  # the latter says its file
                else:
                    found[name] = importlib.metadata.version(name)
            except ImportError:
                found[name] = not_there
        return found

    return read


def hardware() -> dict[str, Any]:
    """This machine, as far as this process may use it, for people to read."""
    names = [line.partition(":")[2].strip() for line in _lines(_ROOT / "proc/cpuinfo") if line.startswith("model name")]
    return {
        "machine": platform.machine(),
        "processor": names[0] if names else platform.processor(),
        "cores": num_cpus(),
        "memory_gb": round(memory_bytes() / 1e9, 1),
        "system": platform.system(),
    }


def num_cpus(root: Path = _ROOT) -> int:
    """Gives the CPUs that this process may keep busy, at least 1; of a share of a CPU the whole part counts.

    Args:
        root: Of the file system in which `/proc` and the cgroups are looked up.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [float(there)]
    for folder in _cgroups("cpu", root):
        quota = _words(folder / "cpu.max") or _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(quota) == 2 and all(word.isdecimal() for word in quota):  # neither "max" nor -1
            limits.append(int(quota[0]) / int(quota[1]))
    return max(1, int(min(limits)))


def memory_bytes(root: Path = _ROOT) -> int:
    """Gives the memory that this process may fill, in bytes; see `num_cpus`."""
    limits = [psutil.virtual_memory().total]
    for folder in _cgroups("memory", root):
        limit = _words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes")
        limits += [int(word) for word in limit if word.isdecimal()]
    return min(limits)


def _cgroups(controller: str, root: Path) -> Iterator[Path]:
    """Gives the folders of the cgroups around this process that may limit it: of version 2, and of 1 for a controller.

    Source: cgroups(7), proc(5). What is mounted at a place may be a part of the hierarchy, as in a container.
    """
    below = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            below["cgroup" if controllers else "cgroup2"] = path
    for line in _lines(root / "proc/self/mountinfo"):
        fields, _, of_file_system = line.partition(" - ")
        kind, _, options = of_file_system.split(" ", 2)
        if kind not in below or (kind == "cgroup" and controller not in options.split(",")):
            continue
        top, mounted_at = fields.split(" ")[3:5]
        path = os.path.relpath(below[kind], top)
        parts = () if path.startswith("..") else Path(path).parts
        for depth in range(len(parts) + 1):
            yield root.joinpath(mounted_at.lstrip("/"), *parts[:depth])


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
