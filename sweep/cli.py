"""The command `sweep`: its verbs and options, what they print, exit codes. No rules: each verb calls one room."""

import contextlib
import dataclasses
import gc
import json
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sweep import verify as verifying
from sweep.axes import point_name, value_name
from sweep.config import SweepConfig, check_experiment_name, load_sweep
from sweep.display import make_console, make_display, make_table, ranking
from sweep.doctor import Finding, describe_classes, disk_estimate_gb, examine, read_dataset
from sweep.errors import ConfigError, SweepError, UserError, one_line
from sweep.launch import FinalistsAsked, Launch, command_line, resume_command, run_sweep
from sweep.machine import NOT_THERE, versions
from sweep.plan import make_manifest
from sweep.records import Experiment, list_experiments, open_experiment, read_state
from sweep.report import choose_folder, write_report
from sweep.storage import open_storage
from sweep.streams import lost_output, prepare_streams

_EXIT_CODES = (
    "Exit codes: 0 complete; 1 incomplete, or a trial failed; 2 a mistake in what was asked for; "
    "3 the resources asked for cannot be met; 130 / 143 stopped by Ctrl-C / SIGTERM."
)
_MOST_FRESH_SEEDS = 10_000
# Lines after "\b" stay as they are.
_EXAMPLES = """Examples:

\b
  sweep run smoke                           a small sweep: is all well?
  sweep run                                 the default: 27 points on MNIST
  sweep run epochs=3 depth=deep --name few  a part of it, on its own
  sweep run seeds=0..9 --extend             seven more seeds of the default
  sweep run mine.toml --dry-run             what your sweep would train
  sweep run --storage s3://bucket/prefix    with all files in a bucket
"""

app = typer.Typer(
    help=f"Which of these model choices is really better, and by how much?\n\n{_EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> NoReturn:
    """Runs the command and ends the process."""
    # Nearly all that large libraries make as they are imported lives to the end: looking through it again and again
    # for garbage takes a report a fifth of its time.
    gc.set_threshold(10_000)
    prepare_streams()
    # It warns where it cannot keep what it knows of fonts, for want of a home; the report is the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        execute()
    except SystemExit as ending:
        if not isinstance(ending.code, int):
            raise
        exit_code = ending.code
    if problem := lost_output():
        print(f"error: standard output cannot be written: {problem}", file=sys.stderr)
        exit_code = exit_code or 1
    sys.stderr.flush()
    # Everything is closed and written; what Python would do yet takes it a second after torch and Ray.
    os._exit(exit_code)


def execute() -> NoReturn:
    """Runs the command and exits with its code; a user's mistake prints one line and no traceback."""
    try:
        os.getcwd()
    except OSError:  # then not even torch can be imported
        print("error: the current folder is not there any more; change to one that is, then try again", file=sys.stderr)
        sys.exit(UserError.exit_code)
    try:
        app(standalone_mode=True)
    except SweepError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _path(given: Any) -> Any:
    """A path with the home folder for `~`, which shells leave after "="; each path of a command comes here."""
    if not isinstance(given, str) or not given.startswith("~"):
        return given
    path = os.path.expanduser(given)
    if path == given:
        raise ConfigError(f"there is no home folder for {given}; write it out, or ./{given} for a folder of that name")
    return path


StorageOption = Annotated[
    str, typer.Option("--storage", callback=_path, help="Folder of all experiments, or s3://bucket/prefix.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster to join (host:port or auto); without it a private one is started.")
]
DataDirOption = Annotated[
    str | None,
    typer.Option(
        callback=_path,
        help="Folder with the data set in torchvision's layout, or with the .npz file; the user's cache without it.",
    ),
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
OutOption = Annotated[
    str | None,
    typer.Option(
        callback=_path,
        help="Folder for the report, new, empty or of an older report; beside the experiment without it.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print failures and the final result only.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print_versions(asked: bool) -> None:
    if asked:
        found = versions()
        print(f"sweep {found['sweep']}\nPython {found['python']}")
        for name in ("torch", "ray"):
            print(name, "is not installed" if found[name] == NOT_THERE else found[name])
        raise typer.Exit


@app.callback()
def _sweep(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_versions, is_eager=True, help="Print versions.")
    ] = False,
) -> None:
    pass


@app.command(help=f"Run a sweep, or go on with it.\n\n{_EXAMPLES}\n{_EXIT_CODES}")
def run(
    words: SweepWords = None,
    storage: StorageOption = "experiments",
    name: NameOption = None,
    address: AddressOption = None,
    data_dir: DataDirOption = None,
    extend: ExtendOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained; train nothing.")] = False,
    out: OutOption = None,
    quiet: QuietOption = False,
) -> None:
    """Trains every grid point of a sweep that is not finished yet, then writes the report."""
    sweep = load_sweep(*_split(words))
    name = check_experiment_name(name or sweep.name)
    if dry_run:
        _print_plan(sweep, data_dir)
        return
    place = open_storage(storage)
    launch = Launch(storage=place, name=name, address=address, data_dir=data_dir, out=out, extend=extend)
    _train(sweep, launch, quiet=quiet)


@app.command(help=f"Go on with an experiment.\n\n{_EXIT_CODES}")
def resume(
    name: str,
    storage: StorageOption = "experiments",
    address: AddressOption = None,
    data_dir: DataDirOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="Run exactly the failed trials again.")] = False,
    out: OutOption = None,
    quiet: QuietOption = False,
) -> None:
    """Trains what is left of an experiment, then writes the report."""
    place = open_storage(storage)
    open_experiment(place, name)
    launch = Launch(storage=place, name=name, address=address, data_dir=data_dir, out=out, only_failed=failed)
    _train(None, launch, quiet=quiet)


@app.command(
    help="Train the finalists of a finished experiment again, with fresh seeds that have chosen nothing: the number of "
    "its winner that you can rely on.\n\nAn experiment has one confirmation; the same command goes on with it, or "
    f"writes the report again.\n\n{_EXIT_CODES}"
)
def confirm(
    name: str,
    count: Annotated[
        int | None,
        typer.Option(
            min=1, help="Finalists, the best of the ranking; without it those that cannot be told apart, 2 to 5."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, max=_MOST_FRESH_SEEDS, help="Fresh seeds; without it as many as were compared, at least 3."
        ),
    ] = None,
    storage: StorageOption = "experiments",
    address: AddressOption = None,
    data_dir: DataDirOption = None,
    out: OutOption = None,
    quiet: QuietOption = False,
) -> None:
    """Trains what is left of an experiment's confirmation, which it plans first, then writes the report."""
    place, finalists = open_storage(storage), FinalistsAsked(count=count, num_seeds=seeds)
    open_experiment(place, name)
    launch = Launch(storage=place, name=name, address=address, data_dir=data_dir, out=out, confirm=finalists)
    _train(None, launch, quiet=quiet)


@app.command(
    help="Run a sweep as a job of a Ray cluster and follow it. Ctrl-C stops following; the job goes on.\n\n"
    f"{_EXIT_CODES}"
)
def submit(
    address: Annotated[str, typer.Option(help="Job server of the cluster: http://host:8265.")],
    storage: Annotated[
        str, typer.Option(callback=_path, help="Folder of all experiments that all nodes of the cluster share.")
    ],
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

    job = make_job(*_split(words), storage=storage, name=name, data_dir=data_dir, extend=extend, quiet=quiet)
    if dry_run:
        print(job.entrypoint)
        return
    sys.exit(submit_job(job, address, follow=not detach))


@app.command()
def status(name: str, storage: StorageOption = "experiments", as_json: JsonOption = False) -> None:
    """Say how far an experiment is."""
    state = read_state(open_experiment(open_storage(storage), name)).legible
    epochs = state.experiment.checkpointed_epochs() if not state.complete else {}
    rows = [
        {
            "trial_id": trial.trial_id,
            "role": trial.role,
            "state": "done" if trial.trial_id in state.done else "failed" if trial.trial_id in state.failed else "left",
            "epoch": trial.epochs if trial.trial_id in state.done else epochs.get(trial.trial_id, 0),
            "epochs": trial.epochs,
            "reason": state.failed.get(trial.trial_id, ""),
        }
        for trial in state.manifest.trials
    ]
    done, failed = len(state.done), len(state.failed)
    left = len(rows) - done - failed
    if as_json:
        counts = {"done": done, "failed": failed, "left": left}
        print(json.dumps({"name": name, "complete": state.complete, **counts, "trials": rows}, indent=1))
        return
    print(one_line(f"{name}: {done}/{len(rows)} trials done, {failed} failed, {left} left"))
    for trial, row in zip(state.manifest.trials, rows, strict=True):
        if row["state"] != "done":
            epoch = f"epoch {row['epoch']}/{row['epochs']}"
            print(one_line(f"  {row['state']:6} {trial.title}  {epoch}  {row['reason']}".rstrip()))


@app.command(name="list")
def list_(storage: StorageOption = "experiments", as_json: JsonOption = False) -> None:
    """List the experiments in the storage path."""
    place = open_storage(storage)
    rows = []
    for name in list_experiments(place):
        row: dict[str, Any] = {"name": name, "done": None, "failed": None, "trials": None, "created": None}
        try:
            state = read_state(Experiment(place.folder(name))).legible
        except SweepError as error:
            rows.append(row | {"problem": str(error)})
            continue
        row |= {"done": len(state.done), "failed": len(state.failed), "trials": len(state.manifest.trials)}
        rows.append(row | {"created": state.manifest.created, "problem": ""})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        counted = f"{row['done']}/{row['trials']} trials done, {row['failed']} failed, made {row['created']}"
        print(one_line(f"{row['name']}: {row['problem'] or counted}"))
    if not rows:
        print(f"no experiments in {place}; make one with: sweep run")


@app.command()
def doctor(
    words: SweepWords = None,
    storage: StorageOption = "experiments",
    name: NameOption = None,
    address: AddressOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Say what would stop a sweep: the checks of every start, one line each. Exit code 1 if one fails."""
    sweep = load_sweep(*_split(words))
    name = check_experiment_name(name or sweep.name)
    findings = examine(sweep, open_storage(storage), name=name, address=address, data_dir=data_dir)
    _tell(findings, f"a sweep {sweep.name!r} can run")


@app.command()
def verify(
    name: str,
    trial: Annotated[str | None, typer.Option("--retrain", help="Train this trial again and compare all bits.")] = None,
    storage: StorageOption = "experiments",
    data_dir: DataDirOption = None,
) -> None:
    """Check every file of an experiment, and compute the test scores again from the weights. Exit code 1 if not so."""
    experiment = open_experiment(open_storage(storage), name)
    if trial:
        _tell(verifying.retrain(experiment, trial, data_dir=data_dir), f"{trial} trained again")
    whole = f"{name} is whole and its scores are those of its weights"
    _tell(verifying.verify(experiment, data_dir=data_dir), whole)


@app.command()
def report(names: list[str], storage: StorageOption = "experiments", out: OutOption = None) -> None:
    """Write the report of one experiment, or of several side by side."""
    names = list(dict.fromkeys(names))
    place = open_storage(storage)
    states = [read_state(experiment) for experiment in [open_experiment(place, name) for name in names]]
    _print_page(write_report(states, choose_folder(place, names, out)))


def _split(words: list[str] | None) -> tuple[str, list[str]]:
    """The sweep that is named first, or the default one, and the overrides."""
    given = list(words or [])
    sweep_name = given.pop(0) if given and ("=" not in given[0] or given[0].lower().endswith(".toml")) else "mnist"
    return _path(sweep_name), given


def _train(sweep: SweepConfig | None, launch: Launch, *, quiet: bool) -> NoReturn:
    """Trains what is left, and writes the report of what is finished; exits with what has come of it."""
    folder = choose_folder(launch.storage, [launch.name], launch.out).absolute()
    command = command_line(["sweep", *sys.argv[1:]])
    launch = dataclasses.replace(launch, command=command, out=str(folder) if launch.out else None)
    outcome = run_sweep(sweep, launch, make_display(quiet=quiet))
    state, exit_code = outcome.state, outcome.exit_code
    if state.done and not outcome.signal_number and not outcome.problem:
        try:
            page = write_report([state], folder)
            make_console(least_width=44).print(ranking(state.legible))
            _print_page(page)
        except SweepError as error:
            words = ["sweep", "report", launch.name, "--storage", str(launch.storage), "--out", str(folder)]
            again = f"all that is trained is kept, write its report with: {command_line(words)}"
            print(f"error: {error}; {again}", file=sys.stderr)
            exit_code = exit_code or 1
    if not outcome.complete:
        if outcome.problem:
            print(f"error: {outcome.problem}", file=sys.stderr)
        failed = f", {len(state.failed)} failed" if state.failed else ""
        counted = f"{outcome.done}/{len(state.manifest.trials)}{failed}"
        print(f"INCOMPLETE {counted}; go on with: {resume_command(launch)}", file=sys.stderr)
    sys.exit(exit_code)


def _print_plan(sweep: SweepConfig, data_dir: str | None) -> None:
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


def _print_page(page: Path) -> None:
    with contextlib.suppress(ValueError, OSError):
        page = page.relative_to(Path.cwd())
    print(f"report: {page}")
    if problem := lost_output():  # that it is there counts, not whether somebody reads so
        print(f"warning: standard output cannot be written: {problem}", file=sys.stderr)


def _tell(findings: Iterable[Finding], when_ok: str) -> NoReturn:
    """Prints the findings as they come, and what they come to; exits with 1 if one is bad."""
    bad = 0
    for finding in findings:
        print(one_line(str(finding)), flush=True)
        bad += not finding.ok
    print(f"{bad} of the findings above are bad" if bad else when_ok)
    sys.exit(1 if bad else 0)
