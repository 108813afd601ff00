"""What the verbs print, for people or as JSON."""

import contextlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.axes import point_name, value_name
from sweep.cli.streams import lost_output
from sweep.config import SweepConfig
from sweep.errors import SweepError, one_line
from sweep.records import Experiment, State, list_experiments, read_state
from sweep.report import write_report
from sweep.storage import Storage

if TYPE_CHECKING:
    from sweep.doctor import Finding


def print_status(name: str, state: State, *, as_json: bool) -> None:
    """Prints how far an experiment is, and each trial that is not finished."""
    records = state.legible
    epochs = records.experiment.checkpointed_epochs() if not records.complete else {}
    rows = []
    for trial in records.manifest.trials:
        trial_id = trial.trial_id
        done = trial_id in records.done
        rows.append(
            {
                "trial_id": trial_id,
                "role": trial.role,
                "state": "done" if done else "failed" if trial_id in records.failed else "left",
                "epoch": trial.epochs if done else epochs.get(trial_id, 0),
                "epochs": trial.epochs,
                "reason": records.failed.get(trial_id, ""),
            }
        )
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "failed", "left")}
    if as_json:
        print(json.dumps({"name": name, "complete": records.complete, **counts, "trials": rows}, indent=1))
        return
    counted = f"{counts['done']}/{len(rows)} trials done, {counts['failed']} failed, {counts['left']} left"
    print(one_line(f"{name}: {counted}"))
    for trial, row in zip(records.manifest.trials, rows, strict=True):
        if row["state"] != "done":
            epoch = f"epoch {row['epoch']}/{row['epochs']}"
            print(one_line(f"  {row['state']:6} {trial.title}  {epoch}  {row['reason']}".rstrip()))


def print_list(storage: Storage, *, as_json: bool) -> None:
    """Prints the experiments of a storage path; of one that cannot be read, why."""
    rows = []
    for name in list_experiments(storage):
        row: dict[str, Any] = {"name": name, "done": None, "failed": None, "trials": None, "created": None}
        try:
            records = read_state(Experiment(storage.folder(name))).legible
        except SweepError as error:
            rows.append(row | {"problem": str(error)})
            continue
        row |= {"done": len(records.done), "failed": len(records.failed), "trials": len(records.manifest.trials)}
        rows.append(row | {"created": records.manifest.created, "problem": ""})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        counted = f"{row['done']}/{row['trials']} trials done, {row['failed']} failed, made {row['created']}"
        print(one_line(f"{row['name']}: {row['problem'] or counted}"))
    if not rows:
        print(f"no experiments in {storage}; make one with: sweep run")


def print_outcome(state: State, out: Path) -> None:
    """Writes the report of what is finished, then prints its table.

    Raises:
        SweepError: if the report cannot be written.
    """
    from sweep.display import make_console, ranking

    if state.done:
        page = write_report([state], out)
        make_console(least_width=44).print(ranking(state.legible))
        print_page(page)


def print_page(page: Path) -> None:
    """Prints where a report is; that it is there counts, not whether somebody reads so."""
    with contextlib.suppress(ValueError, OSError):
        page = page.relative_to(Path.cwd())
    print(f"report: {page}")
    if problem := lost_output():
        print(f"warning: standard output cannot be written: {problem}", file=sys.stderr)


def print_findings(findings: "Iterable[Finding]", when_ok: str) -> int:
    """Prints the findings as they come, and what they come to; gives the exit code."""
    bad = 0
    for finding in findings:
        print(one_line(str(finding)), flush=True)
        bad += not finding.ok
    print(f"{bad} of the findings above are bad" if bad else when_ok)
    return 1 if bad else 0


def print_versions() -> None:
    """Prints what a report of trouble should begin with; imports neither torch nor Ray."""
    from sweep.machine import NOT_THERE, versions

    found = versions()
    print(f"sweep {found['sweep']}\nPython {found['python']}")
    for name in ("torch", "ray"):
        print(name, "is not installed" if found[name] == NOT_THERE else found[name])


def print_plan(sweep: SweepConfig, data_dir: str | None) -> None:
    """Prints what a sweep would train."""
    from sweep.display import make_console, make_table
    from sweep.doctor import describe_classes, disk_estimate_gb, read_dataset
    from sweep.plan import make_manifest

    dataset = read_dataset(sweep, None, data_dir)
    manifest = make_manifest(sweep, dataset, name=sweep.name, command="")
    words = [axis.name for axis in manifest.varied if axis.scale == "nominal"]
    shown = [axis.name for axis in manifest.varied]
    table = make_table([*shown, "hidden layers", "parameters"], names=[*words, "hidden layers"])
    for trial in manifest.trials:
        values = [value_name(getattr(trial, axis)) for axis in shown]
        table.add_row(*values, "-".join(map(str, trial.layers)), f"{manifest.parameters(trial):,}")
    make_console(least_width=72).print(table)
    models = len(manifest.trials) * len(sweep.seeds)
    sizes = manifest.dataset
    needed = disk_estimate_gb(manifest, manifest.trials)
    print(
        f"{len(manifest.trials)} grid points x {len(sweep.seeds)} seeds = {models} models, {sweep.epochs} epochs each\n"
        f"{sizes.name}: {sizes.train_size:,} training, {sizes.validation_size:,} validation, "
        f"{sizes.test_size:,} test images; {sizes.values}\n"
        f"{describe_classes(sizes)}\n"
        f"selection by {manifest.criterion.title}; at most about {needed:.2f} GB on disk"
    )
    for one, other in sweep.compare:
        print(f"compared beforehand: {point_name(one, sweep.axes)} with {point_name(other, sweep.axes)}")
    if sweep.baseline:
        print(f"baseline: {point_name(sweep.baseline, sweep.axes)}")
    for doubt in sizes.doubts:
        print(f"doubtful: {doubt}")
