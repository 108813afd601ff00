"""Measures, on this machine, how fast sweeps are and how near to the hardware's limit; prints tables, writes JSON.

    python scripts/bench.py                          everything, about half an hour on two quiet cores
    python scripts/bench.py --only engines           the engines, microseconds per model step
    python scripts/bench.py --only sweeps overhead   whole commands
    python scripts/bench.py --only gpu               whole commands on the GPU; skipped where there is none
    python scripts/bench.py --only cluster           many trivial trials on several raylets, as in `overhead`
    python scripts/bench.py --only reports           `sweep report` of made-up experiments
    python scripts/bench.py --only scale             manifest, status and resume with 1,000 and 10,000 trials

What is compared runs in turns, `--rounds` times; every number is a median, with the smallest and largest in brackets.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.commands import measure_gpu, measure_sweeps
from benchmarks.engines import measure_engines
from benchmarks.overhead import measure_cluster, measure_overhead
from benchmarks.reports import measure_reports
from benchmarks.scale import measure_scale
from benchmarks.values import shown, summary
from tabulate import tabulate

from sweep.machine import hardware, versions
from sweep.pieces import ACTIVATIONS, LOSSES


def main() -> None:
    """Runs the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=["engines", "sweeps", "gpu", "overhead", "cluster", "reports", "scale"],
        default=[],
        metavar="PART",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--activations", nargs="+", choices=ACTIVATIONS, default=list(ACTIVATIONS))
    parser.add_argument("--loss", choices=LOSSES, default="cross_entropy")
    parser.add_argument("--epochs", type=int, default=10, help="of the whole sweeps")
    parser.add_argument(
        "--trials", nargs="+", type=int, default=[27, 270, 1000], help="of trivial sweeps; more than 1,000: no report"
    )
    parser.add_argument("--nodes", type=int, default=3, help="of the cluster, one CPU each")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="sweep-bench-") as name:
        folder = Path(name)
        parts: dict[str, Callable[[], Any]] = {
            "engines": lambda: measure_engines(
                rounds=options.rounds, activations=options.activations, loss=options.loss
            ),
            "sweeps": lambda: measure_sweeps(folder, rounds=options.rounds, num_epochs=options.epochs),
            "gpu": lambda: measure_gpu(folder, rounds=options.rounds, num_epochs=options.epochs),
            "overhead": lambda: measure_overhead(folder, rounds=options.rounds, counts=options.trials),
            "cluster": lambda: measure_cluster(
                folder, rounds=options.rounds, counts=options.trials, nodes=options.nodes
            ),
            "reports": lambda: measure_reports(folder, rounds=options.rounds),
            "scale": lambda: measure_scale(folder, rounds=options.rounds),
        }
        measured: dict[str, Any] = {
            "hardware": hardware(),
            "versions": versions(),
            "load_before": os.getloadavg(),
            "rounds": options.rounds,
        }
        for part, measure in parts.items():
            if not options.only or part in options.only:
                measured[part] = measure()
                print(TABLES[part](measured), end="\n\n", flush=True)
    options.out.write_text(json.dumps(measured, indent=1) + "\n")
    cores = measured["hardware"]["cores"]
    print(f"load before: {measured['load_before'][0]:.1f} on {cores} cores; all numbers: {options.out}")


def engines_table(measured: dict[str, Any]) -> str:
    """Shows a row per depth, activation and engine, and the floors of each depth."""
    rows = [
        {
            "depth": row["depth"],
            "activation": row["activation"],
            "engine": row["engine"],
            "us per model step": shown(row["us_per_step"]),
            "times the best floor": shown(row["to_floor"], 2),
            "GFLOP/s": f"{row['gflops']['median']:.0f}",
            "% of peak": f"{row['of_peak']['median']:.0%}",
        }
        for row in measured["engines"]
    ]
    peak = summary([row["peak_gflops"]["median"] for row in measured["engines"]])
    floors = [
        {
            "floor of": depth,
            "torch's products, us": shown(row["floor_us_torch"]),
            "the best": shown(row["floor_us_best"]),
        }
        for depth, row in {row["depth"]: row for row in measured["engines"]}.items()
    ]
    return (
        f"{tabulate(rows, headers='keys')}\n\n{tabulate(floors, headers='keys')}\n\n"
        f"peak of matrix products on one thread: {shown(peak)} GFLOP/s"
    )


def sweeps_table(measured: dict[str, Any]) -> str:
    """Shows the whole sweeps beside the tutorial, and the ratios that matter."""
    sweeps = measured["sweeps"]
    one, three = sweeps["sweep"]["seeds=0"], sweeps["sweep"]["seeds=0..2"]
    tutorial = sweeps["tutorial"]
    rows = [
        ("tutorial, 27 models, extrapolated", shown(tutorial["1_seed_s"])),
        ("tutorial, 81 models, extrapolated", shown(tutorial["3_seeds_s"])),
        ("tutorial, an epoch", shown(tutorial["epoch_s"], 1)),
        ("sweep run mnist seeds=0", shown(one["wall_s"])),
        ("sweep run mnist (seeds=0..2)", shown(three["wall_s"])),
        ("from the command to the first training step", shown(sweeps["startup_s"], 1)),
        ("sweep report, 81 models", shown(sweeps["report_s"], 1)),
        ("floor of 27 models: products of torch and Adam only", shown(one["floor_s_torch"])),
        ("floor of 27 models: the best products and Adam only", shown(one["floor_s_best"])),
    ]
    ratios = [
        ("tutorial / sweep, 27 models", _ratio(tutorial["1_seed_s"], one["wall_s"])),
        ("tutorial / sweep, 81 models", _ratio(tutorial["3_seeds_s"], three["wall_s"])),
        ("training time, three seeds / one seed", _ratio(three["train_s"], one["train_s"])),
        ("(sweep - start) / best floor, 27 models", one["without_start_to_floor"]["median"]),
        ("(sweep - start) / best floor, 81 models", three["without_start_to_floor"]["median"]),
    ]
    tables = [tabulate(rows, headers=["", "seconds"]), tabulate(ratios, headers=["", "ratio"], floatfmt=".2f")]
    return "\n\n".join([*tables, f"products: {sweeps['products']}"])


def gpu_table(measured: dict[str, Any]) -> str:
    """Shows a row per engine, or that there is no GPU."""
    gpu = measured["gpu"]
    if gpu is None:
        return "no GPU: skipped"
    rows = [
        {
            f"on {gpu['device']}": f"sweep run mnist engine={engine} (seeds=0..2, {gpu['epochs']} epochs)",
            "seconds": shown(row["wall_s"]),
            "of training, all trials": shown(row["train_s"]),
        }
        for engine, row in gpu["sweep"].items()
    ]
    return tabulate(rows, headers="keys")


def overhead_table(measured: dict[str, Any]) -> str:
    """Shows two tables of a row per number of trials: the whole command, and its process while trials run."""
    return _overhead_tables(measured["overhead"], "trivial trials, private Ray")


def cluster_table(measured: dict[str, Any]) -> str:
    """Shows the same of the cluster."""
    cluster = measured["cluster"]
    return _overhead_tables(cluster["trials"], f"trivial trials, {cluster['nodes']} nodes")


def reports_table(measured: dict[str, Any]) -> str:
    """Shows a row per size of experiment."""
    rows = [
        {
            "trials x 5 seeds": trials,
            "sweep report, s": shown(row["wall_s"], 1),
            "of CPU, s": shown(row["cpu_s"], 1),
            "memory, GB": shown(row["memory_gb"], 2),
        }
        for trials, row in measured["reports"].items()
    ]
    return tabulate(rows, headers="keys")


def scale_table(measured: dict[str, Any]) -> str:
    """Shows a row per number of trials."""
    rows = [
        {
            "trials": trials,
            "manifest, MB": shown(row["manifest_mb"], 1),
            "write, s": shown(row["write_manifest_s"], 2),
            "read, s": shown(row["read_manifest_s"], 2),
            "sweep status, s": shown(row["status_s"], 1),
            "its MB": shown(row["status_mb"]),
            "sweep resume, nothing left, and report, s": shown(row["resume_s"], 1),
            "MB": shown(row["resume_mb"]),
        }
        for trials, row in measured["scale"].items()
    ]
    return tabulate(rows, headers="keys")


TABLES = {
    "engines": engines_table,
    "sweeps": sweeps_table,
    "gpu": gpu_table,
    "overhead": overhead_table,
    "cluster": cluster_table,
    "reports": reports_table,
    "scale": scale_table,
}


def _overhead_tables(trials: dict[str, Any], title: str) -> str:
    command = [
        {
            title: count,
            "whole command, s": shown(row["wall_s"], 1),
            "first epoch after, s": shown(row["first_epoch_after_s"], 1),
            "ms per trial": shown({key: 1000 * value for key, value in row["s_per_trial"].items()}, 1),
            "after the last trial, s": shown(row["after_last_trial_s"], 1),
        }
        for count, row in trials.items()
    ]
    driver = [
        {
            "the driver": count,
            "CPU, ms per trial": shown({key: 1000 * value for key, value in row["driver_cpu_s_per_trial"].items()}, 1),
            "MB at the first trial": shown(row["driver_mb_at_first_trial"]),
            "at the last": shown(row["driver_mb_at_last_trial"]),
            "kB per trial, second half": shown(row["driver_kb_per_trial"], 1),
            "MB at most": shown(row["driver_peak_mb"]),
        }
        for count, row in trials.items()
    ]
    return f"{tabulate(command, headers='keys')}\n\n{tabulate(driver, headers='keys')}"


def _ratio(slow: dict[str, float], fast: dict[str, float]) -> float:
    return slow["median"] / fast["median"]


if __name__ == "__main__":
    main()
