"""The command `sweep`: verbs, options, exit codes. No logic: each verb reads its words and calls one function."""

import gc
import json
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from sweep.config import SweepConfig, check_experiment_name, load_sweep
from sweep.errors import ConfigError, SweepError
from sweep.records import Experiment, list_experiments, open_experiment, read_records
from sweep.storage import open_storage

if TYPE_CHECKING:
    from sweep.doctor import Finding

_EXIT_CODES = (
    "Exit codes: 0 complete; 1 incomplete, or a trial failed; 2 a mistake in what was asked for; "
    "3 the resources asked for cannot be met; 130 / 143 stopped by Ctrl-C / SIGTERM."
)

app = typer.Typer(
    help=f"Which of these model choices is really better, and by how much?\n\n{_EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StorageOption = Annotated[str, typer.Option("--storage", help="Folder of all experiments, or s3://bucket/prefix.")]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster to join (host:port or auto); without it a private one is started.")
]
DataDirOption = Annotated[
    str | None, typer.Option(help="Folder with the data set in torchvision's layout; the user's cache without it.")
]
SweepWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SWEEP] [KEY=VALUE]...",
        help="A built-in sweep (mnist, published, smoke) or a .toml file, and what to change in it, "
        "such as epochs=3 depth=shallow,deep seeds=0..4 num_cpus=2. Default: mnist.",
    ),
]
NameOption = Annotated[str | None, typer.Option(help="Name of the experiment; the sweep's name without it.")]
ExtendOption = Annotated[bool, typer.Option("--extend", help="Add seeds or axis values to the experiment.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print failures and the final result only.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(help=f"Run a sweep, or go on with it.\n\n{_EXIT_CODES}")
def run(
    words: SweepWords = None,
    storage: StorageOption = "experiments",
    name: NameOption = None,
    address: AddressOption = None,
    data_dir: DataDirOption = None,
    extend: ExtendOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained; train nothing.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Trains every grid point of a sweep that is not finished yet, then writes the report."""
    sweep_name, overrides = _split(words)
    sweep = load_sweep(sweep_name, overrides)
    experiment_name = check_experiment_name(name or sweep.name)
    if dry_run:
        _print_plan(sweep, data_dir)
    else:
        _launch(sweep, storage, experiment_name, address, data_dir, quiet=quiet, extend=extend)


@app.command(help=f"Go on with an experiment.\n\n{_EXIT_CODES}")
def resume(
    name: str,
    storage: StorageOption = "experiments",
    address: AddressOption = None,
    data_dir: DataDirOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="Run exactly the failed trials again.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Trains what is left of an experiment, then writes the report."""
    experiment = open_experiment(open_storage(storage), check_experiment_name(name))
    manifest = experiment.read_manifest()
    assert manifest
    _launch(manifest.sweep, storage, name, address, data_dir, quiet=quiet, only_failed=failed)


@app.command(
    help="Run a sweep as a job of a Ray cluster and follow it. Ctrl-C stops following; the job goes on.\n\n"
    f"{_EXIT_CODES}"
)
def submit(
    address: Annotated[str, typer.Option(help="Job server of the cluster: http://host:8265.")],
    storage: Annotated[str, typer.Option(help="Folder of all experiments that all nodes of the cluster share.")],
    words: SweepWords = None,
    name: NameOption = None,
    data_dir: DataDirOption = None,
    extend: ExtendOption = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the job's end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the job's command line; send nothing.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Hands `sweep run` with the same words to Ray's job API."""
    from sweep.tuning.submit import make_job, submit_job

    sweep_name, overrides = _split(words)
    job = make_job(sweep_name, overrides, storage=storage, name=name, data_dir=data_dir, extend=extend, quiet=quiet)
    if dry_run:
        print(job.entrypoint)
        return
    sys.exit(submit_job(job, address, follow=not detach))


@app.command()
def status(name: str, storage: StorageOption = "experiments", as_json: JsonOption = False) -> None:
    """Say how far an experiment is."""
    experiment = open_experiment(open_storage(storage), check_experiment_name(name))
    records = read_records(experiment)
    epochs = experiment.checkpointed_epochs() if not records.complete else {}
    rows = [
        {
            "trial_id": trial.trial_id,
            "state": "done"
            if trial.trial_id in records.done
            else "failed"
            if trial.trial_id in records.failed
            else "left",
            "epoch": trial.epochs if trial.trial_id in records.done else epochs.get(trial.trial_id, 0),
            "epochs": trial.epochs,
            "reason": records.failed.get(trial.trial_id, ""),
        }
        for trial in records.manifest.trials
    ]
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "failed", "left")}
    if as_json:
        print(json.dumps({"name": name, "complete": records.complete, **counts, "trials": rows}, indent=1))
        return
    print(f"{name}: {counts['done']}/{len(rows)} trials done, {counts['failed']} failed, {counts['left']} left")
    for row in rows:
        if row["state"] != "done":
            print(
                f"  {row['state']:6} {row['trial_id']}  epoch {row['epoch']}/{row['epochs']}  {row['reason']}".rstrip()
            )


@app.command(name="list")
def list_(storage: StorageOption = "experiments", as_json: JsonOption = False) -> None:
    """List the experiments in the storage path."""
    rows = []
    opened = open_storage(storage)
    for name in list_experiments(opened):
        records = read_records(Experiment(opened.folder(name)))
        rows.append(
            {
                "name": name,
                "done": len(records.done),
                "failed": len(records.failed),
                "trials": len(records.manifest.trials),
                "created": records.manifest.created,
            }
        )
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['name']}: {row['done']}/{row['trials']} trials done, {row['failed']} failed, made {row['created']}"
        )
    if not rows:
        print(f"no experiments in {storage}; make one with: sweep run")


@app.command()
def doctor(
    sweep_name: Annotated[str, typer.Argument(metavar="[SWEEP]", help="As for run.")] = "mnist",
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="As for run.")] = None,
    storage: StorageOption = "experiments",
    name: NameOption = None,
    address: AddressOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Say what would stop a sweep: the checks of every start, one line each. Exit code 1 if one fails."""
    from sweep.doctor import examine

    sweep = load_sweep(sweep_name, overrides or [])
    experiment_name = check_experiment_name(name or sweep.name)
    findings = examine(sweep, open_storage(storage), name=experiment_name, address=address, data_dir=data_dir)
    sys.exit(_print_findings(findings, f"a sweep {sweep.name!r} can run"))


@app.command()
def verify(
    name: str,
    trial: Annotated[str | None, typer.Option("--retrain", help="Train this trial again and compare all bits.")] = None,
    storage: StorageOption = "experiments",
    data_dir: DataDirOption = None,
) -> None:
    """Check every file of an experiment, and compute the test scores again from the weights. Exit code 1 if not so."""
    from sweep import verify as verifying

    experiment = open_experiment(open_storage(storage), check_experiment_name(name))
    if trial:
        findings = verifying.retrain(experiment, trial, data_dir=data_dir)
        sys.exit(_print_findings(findings, f"{trial} trained again"))
    findings = verifying.verify(experiment, data_dir=data_dir)
    sys.exit(_print_findings(findings, f"{name} is whole and its scores are those of its weights"))


@app.command()
def report(
    names: list[str],
    storage: StorageOption = "experiments",
    out: Annotated[str | None, typer.Option(help="Folder for the report; reports/NAME without it.")] = None,
) -> None:
    """Write the report of one experiment, or of several side by side."""
    from sweep.report import write_report

    if out and "://" in out:
        raise ConfigError(f"--out {out} is no folder; a report is written to this machine, copy it from there")
    experiments = [open_experiment(open_storage(storage), check_experiment_name(name)) for name in names]
    page = write_report(experiments, Path(out or f"reports/{'+'.join(names)}"))
    print(f"report: {page}")


def main() -> NoReturn:
    """Runs the command and ends the process."""
    # Nearly all that large libraries make as they are imported lives to the end: looking through it again and again
    # for garbage takes a report a fifth of its time.
    gc.set_threshold(10_000)
    try:
        execute()
    except SystemExit as ending:
        if not isinstance(ending.code, int):
            raise
        exit_code = ending.code
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        exit_code = exit_code or 1
    # Everything is closed and written; what Python would do yet takes it a second after torch and Ray.
    os._exit(exit_code)


def execute() -> NoReturn:
    """Runs the command and exits with its code; a user's mistake prints one line and no traceback."""
    try:
        app(standalone_mode=True)
    except SweepError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _split(words: list[str] | None) -> tuple[str, list[str]]:
    """Gives the sweep that is named first, or the default one, and the overrides."""
    given = list(words or [])
    sweep_name = given.pop(0) if given and ("=" not in given[0] or given[0].endswith(".toml")) else "mnist"
    return sweep_name, given


def _launch(
    sweep: SweepConfig,
    storage: str,
    name: str,
    address: str | None,
    data_dir: str | None,
    *,
    quiet: bool,
    extend: bool = False,
    only_failed: bool = False,
) -> None:
    from sweep.display import make_display
    from sweep.launch import Launch, resume_command, run_sweep

    launch = Launch(
        storage=open_storage(storage),
        name=name,
        command=shlex.join(["sweep", *sys.argv[1:]]),
        address=address,
        data_dir=data_dir,
        extend=extend,
        only_failed=only_failed,
    )
    outcome = run_sweep(sweep, launch, make_display(quiet=quiet))
    if not outcome.signal_number and not outcome.problem:
        _print_outcome(launch.experiment, Path("reports") / name)
    if not outcome.complete:
        if outcome.problem:
            print(f"error: {outcome.problem}", file=sys.stderr)
        failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
        print(
            f"INCOMPLETE {outcome.done}/{outcome.total}{failed}; go on with: {resume_command(launch)}", file=sys.stderr
        )
    sys.exit(outcome.exit_code)


def _print_outcome(experiment: Experiment, out: Path) -> None:
    """Prints the table of what is finished and writes the report."""
    from sweep.display import ranking
    from sweep.report import write_report

    records = read_records(experiment)
    if records.done:
        Console().print(ranking(records))
        print(f"report: {write_report([experiment], out)}")


def _print_findings(findings: "Iterable[Finding]", when_ok: str) -> int:
    """Prints the findings as they come, and what they come to; gives the exit code."""
    bad = 0
    for finding in findings:
        print(finding, flush=True)
        bad += not finding.ok
    print(f"{bad} of the findings above are bad" if bad else when_ok)
    return 1 if bad else 0


def _print_plan(sweep: SweepConfig, data_dir: str | None) -> None:
    from sweep.datasets import load_dataset
    from sweep.plan import disk_estimate_gb, make_manifest

    dataset = load_dataset(sweep.dataset, validation_size=sweep.validation_size, data_dir=data_dir)
    manifest = make_manifest(sweep, dataset, name=sweep.name, command="", engine="reference", fingerprint={})
    table = Table(box=None, pad_edge=False)
    for heading in (*manifest.axes, "hidden layers", "parameters"):
        table.add_column(heading, justify="right" if heading == "parameters" else "left")
    for trial in manifest.trials:
        point = [str(trial.point[axis]) for axis in manifest.axes]
        table.add_row(*point, "-".join(map(str, trial.layers)), f"{manifest.parameters(trial):,}")
    Console().print(table)
    models = len(manifest.trials) * len(sweep.seeds)
    sizes = manifest.dataset
    parameters = [manifest.parameters(trial) for trial in manifest.trials]
    needed = disk_estimate_gb(manifest.trials, num_parameters=parameters, dataset=sizes)
    print(
        f"{len(manifest.trials)} grid points x {len(sweep.seeds)} seeds = {models} models, {sweep.epochs} epochs each\n"
        f"{sizes.name}: {sizes.train_size:,} training, {sizes.validation_size:,} validation, "
        f"{sizes.test_size:,} test images\n"
        f"selection by {sweep.selection.replace('_', ' ')}; at most about {needed:.2f} GB on disk"
    )
