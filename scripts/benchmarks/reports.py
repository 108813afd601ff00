"""The report of made-up experiments: seconds and memory of the whole command."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.values import summary

_ROOT = Path(__file__).resolve().parents[2]
_RATES = {27: 1, 1026: 38}


def measure_reports(folder: Path, *, rounds: int) -> dict[str, Any]:
    """Writes made-up experiments of five seeds and 10,000 test images, and times `sweep report` of each in turns."""
    sys.path.insert(0, str(_ROOT / "tests"))
    from made_up import made_up_sweep, write_experiment

    for trials, rates in _RATES.items():
        axes = {"learning_rate": [0.001 * (1 + k / 100) for k in range(rates)]}
        sweep = made_up_sweep(epochs=10, axes=axes)
        rng = np.random.default_rng(0)
        write_experiment(
            folder / f"made-up-{trials}", _score, sweep=sweep, rng=rng, test_size=10_000, image_shape=(28, 28)
        )
    measured: dict[int, list[dict[str, float]]] = {trials: [] for trials in _RATES}
    for _ in range(rounds):
        for trials, runs in measured.items():
            runs.append(_report(folder, f"made-up-{trials}"))
    return {
        str(trials): {key: summary([run[key] for run in runs]) for key in runs[0]} for trials, runs in measured.items()
    }


def _score(point: Mapping[str, Any], seed: int) -> float:
    depth = {"shallow": 0.960, "medium": 0.970, "deep": 0.975}[point["depth"]]
    spread = np.random.default_rng([seed, *str(sorted(point.items())).encode()]).normal(0, 0.001)
    return float(depth + spread - point["learning_rate"])


def _report(folder: Path, name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "sweep", "report", name, "--storage", str(folder), "--out", str(folder / "out")]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(_ROOT)}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "memory_gb": usage.ru_maxrss * 1024 / 1e9,
    }
