"""What grows with the number of trials: the manifest, and commands on an experiment of which nothing is left to do."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reports import timed_command, write_made_up
from benchmarks.values import summary
from sweep.records import Experiment
from sweep.storage import LocalStorage

_RATES = {999: 37, 9990: 370}


def measure_scale(folder: Path, *, rounds: int) -> dict[str, Any]:
    """Writes made-up experiments of many small finished trials, and times what reads them, in turns."""
    for trials, rates in _RATES.items():
        write_made_up(folder / f"many-{trials}", rates=rates, seeds=1, test_size=20, input_shape=(8, 8))
    measured: dict[int, list[dict[str, float]]] = {trials: [] for trials in _RATES}
    for _ in range(rounds):
        for trials, runs in measured.items():
            runs.append(_round(folder, f"many-{trials}"))
    return {
        str(trials): {key: summary([run[key] for run in runs]) for key in runs[0]} for trials, runs in measured.items()
    }


def _round(folder: Path, name: str) -> dict[str, float]:
    experiment = Experiment(LocalStorage(folder / name))
    manifest = experiment.read_manifest()
    assert manifest is not None
    copy = Experiment(LocalStorage(folder / "copy"))
    status = timed_command("status", name, "--storage", str(folder))
    resume = timed_command("resume", name, "--storage", str(folder), "--quiet")
    return {
        "write_manifest_s": _seconds(lambda: copy.write_manifest(manifest)),
        "read_manifest_s": _seconds(copy.read_manifest),
        "manifest_mb": (folder / "copy" / "manifest.json").stat().st_size / 1e6,
        "status_s": status["wall_s"],
        "status_mb": 1000 * status["memory_gb"],
        "resume_s": resume["wall_s"],
        "resume_mb": 1000 * resume["memory_gb"],
    }


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
