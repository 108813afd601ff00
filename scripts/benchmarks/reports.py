"""The report of made-up experiments: seconds and memory of the whole command."""

import json
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
# In a small process of its own: a child's largest memory counts from that of the process that started it.
_USAGE = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"cpu_s": usage.ru_utime + usage.ru_stime, "memory_gb": usage.ru_maxrss * 1024 / 1e9}))
sys.exit(code)
"""


def measure_reports(folder: Path, *, rounds: int) -> dict[str, Any]:
    """Writes made-up experiments of five seeds and 10,000 test images, and times `sweep report` of each in turns."""
    for trials, rates in _RATES.items():
        write_made_up(folder / f"made-up-{trials}", rates=rates, seeds=5, test_size=10_000, input_shape=(28, 28))
    measured: dict[int, list[dict[str, float]]] = {trials: [] for trials in _RATES}
    for _ in range(rounds):
        for trials, runs in measured.items():
            words = [f"made-up-{trials}", "--storage", str(folder), "--out", str(folder / "out")]
            runs.append(timed_command("report", *words))
    return {
        str(trials): {key: summary([run[key] for run in runs]) for key in runs[0]} for trials, runs in measured.items()
    }


def write_made_up(root: Path, *, rates: int, seeds: int, test_size: int, input_shape: tuple[int, ...]) -> None:
    """Writes an experiment of 27 x `rates` finished trials with made-up numbers."""
    sys.path.insert(0, str(_ROOT / "tests"))
    from made_up import made_up_sweep, write_experiment

    axes = {"learning_rate": [0.001 * (1 + k / 100) for k in range(rates)]}
    sweep = made_up_sweep(epochs=10, seeds=list(range(seeds)), axes=axes)
    rng = np.random.default_rng(0)
    write_experiment(root, _score, sweep=sweep, rng=rng, test_size=test_size, input_shape=input_shape)


def _score(point: Mapping[str, Any], seed: int) -> float:
    depth = {"shallow": 0.960, "medium": 0.970, "deep": 0.975}[point["depth"]]
    spread = np.random.default_rng([seed, *str(sorted(point.items())).encode()]).normal(0, 0.001)
    return float(depth + spread - point["learning_rate"])


def timed_command(*words: str) -> dict[str, float]:
    """Runs `sweep WORDS`; gives its `wall_s`, `cpu_s` and `memory_gb`."""
    command = [sys.executable, "-m", "sweep", *words]
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", _USAGE, *command], env=environment, stdout=subprocess.PIPE, check=False
    )
    wall_s = time.perf_counter() - start
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}")
    usage: dict[str, float] = json.loads(ended.stdout)
    return {"wall_s": wall_s, **usage}
