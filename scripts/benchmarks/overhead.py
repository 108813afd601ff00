"""What a trial costs beside its training: sweeps of many trials with next to nothing to train.

On a private Ray, or on a cluster of several raylets on this machine; the driver is watched from outside.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.values import summary

_ROOT = Path(__file__).resolve().parents[2]
_WATCH_EVERY_S = 0.05
# With more trials the command is stopped before its report, which is not made for an axis of thousands of values.
_REPORT_UP_TO = 1000
_TRIVIAL = """
dataset = "digits"
epochs = 1
seeds = [0]
validation_size = 100
[axes]
depth = ["tiny"]
activation = ["relu"]
loss = ["hinge"]
learning_rate = {rates}
[layers]
tiny = [4]
"""


def measure_overhead(
    folder: Path, *, rounds: int, counts: list[int], address: str = "", variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Runs sweeps of many trivial trials.

    Args:
        folder: The storage path.
        rounds: How often each is run.
        counts: Numbers of trials.
        address: Of the cluster, "" for a private Ray.
        variables: Of the driver's environment, such as the cluster's token.
    """
    measured: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    for number in range(rounds):
        for count in counts:
            name = f"trivial-{count}-{number}{'-cluster' if address else ''}"
            file = folder / f"{name}.toml"
            file.write_text(_TRIVIAL.format(rates=[0.001 * (1 + k / 1000) for k in range(count)]))
            words = ["run", str(file), "--name", name, "--storage", str(folder), "--quiet"]
            words += ["--address", address] if address else []
            measured[count].append(_run(words, folder / name, count, variables or {}))
    return {
        str(count): {key: summary([row[key] for row in rows]) for key in rows[0]} for count, rows in measured.items()
    }


def measure_cluster(folder: Path, *, rounds: int, counts: list[int], nodes: int) -> dict[str, Any]:
    """Runs the same sweeps on a cluster of a head without CPUs and some nodes of one CPU, each with its own raylet."""
    sys.path.insert(0, str(_ROOT / "tests" / "faults"))
    from harness import TOKEN
    from raylets import Raylets

    variables = {**TOKEN, "PYTHONPATH": str(_ROOT)}  # without the fault tests' hooks
    raylets = Raylets(nodes, variables)
    try:
        trials = measure_overhead(folder, rounds=rounds, counts=counts, address=raylets.address, variables=variables)
    finally:
        raylets.end()
    return {"nodes": nodes, "trials": trials}


@dataclass(frozen=True, kw_only=True)
class _Moment:
    """The driver when it has heard of some finished trials: CPU time so far and resident memory."""

    trials: int
    cpu_s: float
    memory_mb: float


def _run(words: list[str], experiment: Path, count: int, variables: Mapping[str, str]) -> dict[str, float]:
    start = time.time()
    moments = _watched(words, experiment, variables, with_report=count <= _REPORT_UP_TO)
    wall_s = time.time() - start
    first = min(path.stat().st_mtime for path in (experiment / "trials").glob("*/checkpoint-*"))
    last = max(path.stat().st_mtime for path in (experiment / "trials").glob("*/done.json"))
    begin, middle, end = (
        next(moment for moment in moments if moment.trials >= trials) for trials in (1, count // 2, count)
    )
    return {
        "wall_s": wall_s,
        "first_epoch_after_s": first - start,
        "s_per_trial": (last - first) / (count - 1),
        "after_last_trial_s": start + wall_s - last,
        "driver_cpu_s_per_trial": (end.cpu_s - begin.cpu_s) / (count - begin.trials),
        "driver_mb_at_first_trial": begin.memory_mb,
        "driver_mb_at_last_trial": end.memory_mb,
        "driver_kb_per_trial": 1000 * (end.memory_mb - middle.memory_mb) / (count - middle.trials),
        "driver_peak_mb": max(moment.memory_mb for moment in moments),
    }


def _watched(words: list[str], experiment: Path, variables: Mapping[str, str], *, with_report: bool) -> list[_Moment]:
    """Runs the command; gives what was seen of its process, in order."""
    command = [sys.executable, "-m", "sweep", *words]
    output = experiment.with_name(f"{experiment.name}-output.txt")
    moments, events = [], experiment / "events.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), **variables}
    with output.open("w") as log:
        driver = psutil.Popen(command, cwd=experiment.parent, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        while driver.poll() is None:
            happened = events.read_bytes() if events.exists() else b""
            trials = happened.count(b'"trial_done"')
            with driver.oneshot():
                cpu = driver.cpu_times()
                memory_mb = driver.memory_info().rss / 1e6
            moments.append(_Moment(trials=trials, cpu_s=cpu.user + cpu.system, memory_mb=memory_mb))
            if b'"run_finished"' in happened and not with_report:
                return moments
            time.sleep(_WATCH_EVERY_S)
    finally:
        if driver.poll() is None:
            driver.kill()  # its guard ends Ray
            driver.wait()
    if driver.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {driver.returncode}:\n{output.read_text()}")
    return moments
