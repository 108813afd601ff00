"""Whole commands, timed from outside: the sweep, the tutorial baseline, the report."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.engines import measure_floors_us
from benchmarks.values import summary
from sweep.config import HIDDEN_LAYERS
from sweep.loops.contract import prepare_torch
from sweep.loops.torch import layer_shapes
from sweep.machine import hardware
from sweep.records import Experiment, Manifest
from sweep.storage import LocalStorage
from sweep.table import TIME

_ROOT = Path(__file__).resolve().parents[2]


def measure_sweeps(folder: Path, *, rounds: int, num_epochs: int) -> dict[str, Any]:
    """Runs the default sweep with one and with three seeds, and the tutorial on three of its points, in turns.

    The floor is measured right before and right after each sweep, since a shared machine changes.
    """
    tutorial, reports, startups = [], [], []
    sweeps: dict[str, list[dict[str, float]]] = {"seeds=0": [], "seeds=0..2": []}
    for number in range(rounds):
        tutorial.append(tutorial_estimate(_run_tutorial(), num_epochs=num_epochs))
        startups.append(_startup_s(folder / f"start-{number}"))
        for num_seeds, (seeds, runs) in zip((1, 3), sweeps.items(), strict=True):
            name = f"{seeds.replace('=', '-').replace('..', '-')}-{number}"
            before = _floors_of_sweep_s(num_seeds, num_epochs)
            wall_s = _sweep(folder, "run", "mnist", seeds, f"epochs={num_epochs}", "--name", name)
            after = _floors_of_sweep_s(num_seeds, num_epochs)
            torch_s, best_s = ((one + other) / 2 for one, other in zip(before, after, strict=True))
            runs.append(
                {
                    "wall_s": wall_s,
                    "train_s": _train_time_s(Experiment(LocalStorage(folder).folder(name))),
                    "floor_s_torch": torch_s,
                    "floor_s_best": best_s,
                    "without_start_to_floor": (wall_s - startups[-1]) / best_s,
                }
            )
        reports.append(_sweep(folder, "report", name, "--out", str(folder / "report")))
    return {
        "epochs": num_epochs,
        "tutorial": _columns(tutorial),
        "startup_s": summary(startups),
        "sweep": {seeds: _columns(runs) for seeds, runs in sweeps.items()},
        "products": _manifest(Experiment(LocalStorage(folder).folder(name))).products_in_words,
        "report_s": summary(reports),
    }


def measure_gpu(folder: Path, *, rounds: int, num_epochs: int) -> dict[str, Any] | None:
    """Runs the default sweep with three seeds on the GPU, with either engine in turns; None if there is no GPU."""
    if not torch.cuda.is_available():
        return None
    runs: dict[str, list[dict[str, float]]] = {"stacked": [], "reference": []}
    for number in range(rounds):
        for engine, rows in runs.items():
            name = f"gpu-{engine}-{number}"
            words = ("mnist", "seeds=0..2", f"epochs={num_epochs}", f"engine={engine}")
            wall_s = _sweep(folder, "run", *words, "--name", name)
            rows.append({"wall_s": wall_s, "train_s": _train_time_s(Experiment(LocalStorage(folder).folder(name)))})
    device = torch.cuda.get_device_name()
    return {"epochs": num_epochs, "device": device, "sweep": {engine: _columns(rows) for engine, rows in runs.items()}}


def tutorial_estimate(run: dict[str, Any], *, num_epochs: int) -> dict[str, float]:
    """Extrapolates the tutorial's 27 points x `num_epochs` from an epoch of one point of each depth.

    In its favour: later trials start their processes for nothing, the cores are never idle, and the test images are
    not scored.
    """
    epochs_s = [trial["epoch_s"] for trial in run["trials"]]
    epoch_s = sum(map(sum, epochs_s)) / sum(map(len, epochs_s))
    training_s = 27 * num_epochs * epoch_s / run["num_cpus"]
    return {
        "startup_s": run["startup_s"],
        "epoch_s": epoch_s,
        "1_seed_s": run["startup_s"] + training_s,
        "3_seeds_s": run["startup_s"] + 3 * training_s,
    }


def _floors_of_sweep_s(num_seeds: int, num_epochs: int) -> tuple[float, float]:
    """Measures the seconds of the default sweep if every core took step after step, each in its floor.

    Returns:
        With torch's products, and with the best ones.
    """
    prepare_torch(num_threads=1)
    floors_us = [measure_floors_us(layer_shapes(784, layers, 10)) for layers in HIDDEN_LAYERS.values()]
    steps_per_core = 9 * num_seeds * 860 * num_epochs / hardware()["cores"]
    torch_us, best_us = (sum(floor["torch"] for floor in floors_us), sum(min(floor.values()) for floor in floors_us))
    return torch_us * steps_per_core / 1e6, best_us * steps_per_core / 1e6


def _startup_s(folder: Path) -> float:
    """Seconds from the command to the first training step on MNIST."""
    start = time.time()
    _sweep(
        folder, "run", "mnist", "epochs=1", "depth=shallow", "activation=relu", "loss=hinge", "seeds=0", "--name", "x"
    )
    first = min(path.stat().st_mtime for path in (folder / "x" / "trials").glob("*/checkpoint-*"))
    return first - start - _train_time_s(Experiment(LocalStorage(folder).folder("x")))


def _train_time_s(experiment: Experiment) -> float:
    """Seconds of training, added up over all models."""
    records = [experiment.read_done(trial.trial_id) for trial in _manifest(experiment).trials]
    return sum(sum(record.final(TIME)) for record in records if record)


def _manifest(experiment: Experiment) -> Manifest:
    manifest = experiment.read_manifest()
    assert manifest is not None
    return manifest


def _sweep(folder: Path, verb: str, *words: str) -> float:
    """Runs the command line in `folder`, which is also the storage path; gives its seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    quiet = ["--quiet"] if verb == "run" else []
    return _timed([sys.executable, "-m", "sweep", verb, *words, "--storage", str(folder), *quiet], folder)[0]


def _run_tutorial() -> dict[str, Any]:
    """Runs the tutorial for an epoch of one point of each depth; gives its times and `startup_s`."""
    start = time.time()
    script = str(_ROOT / "scripts" / "baselines" / "tutorial.py")
    output = _timed([sys.executable, script, "--points", "3", "--epochs", "1"], _ROOT)[1]
    run: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return run | {"startup_s": min(trial["started"] for trial in run["trials"]) - start}


def _timed(command: list[str], folder: Path) -> tuple[float, str]:
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
    return time.perf_counter() - start, ended.stdout


def _columns(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {key: summary([row[key] for row in rows]) for key in rows[0]}
