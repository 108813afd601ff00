"""The verbs and their options. No logic: each verb reads its words and calls one function."""

import os.path
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.output import (
    print_findings,
    print_list,
    print_outcome,
    print_page,
    print_plan,
    print_status,
    print_versions,
)
from sweep.config import SweepConfig, check_experiment_name, load_sweep
from sweep.errors import ConfigError, SweepError
from sweep.records import open_experiment, read_state
from sweep.report import choose_folder, write_report
from sweep.storage import open_storage

if TYPE_CHECKING:
    from sweep.launch import FinalistsAsked

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


def _path(given: Any) -> Any:
    """Gives a path with the home folder for `~`, which shells leave after "="; each path of a command comes here."""
    if not isinstance(given, str) or not given.startswith("~"):
        return given
    path = os.path.expanduser(given)
    if path == given:
        raise ConfigError(f"there is no home folder for {given}; write it out, or ./{given} for a folder of that name")
    return path


def _print_versions(asked: bool) -> None:
    if asked:
        print_versions()
        raise typer.Exit


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
    sweep_name, overrides = _split(words)
    sweep = load_sweep(sweep_name, overrides)
    experiment_name = check_experiment_name(name or sweep.name)
    if dry_run:
        print_plan(sweep, data_dir)
    else:
        _launch(sweep, storage, experiment_name, address, data_dir, out, quiet=quiet, extend=extend)


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
    open_experiment(open_storage(storage), name)
    _launch(None, storage, name, address, data_dir, out, quiet=quiet, only_failed=failed)


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
    from sweep.launch import FinalistsAsked

    open_experiment(open_storage(storage), name)
    asked = FinalistsAsked(count=count, num_seeds=seeds)
    _launch(None, storage, name, address, data_dir, out, quiet=quiet, confirm=asked)


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

    sweep_name, overrides = _split(words)
    job = make_job(sweep_name, overrides, storage=storage, name=name, data_dir=data_dir, extend=extend, quiet=quiet)
    if dry_run:
        print(job.entrypoint)
        return
    sys.exit(submit_job(job, address, follow=not detach))


@app.command()
def status(name: str, storage: StorageOption = "experiments", as_json: JsonOption = False) -> None:
    """Say how far an experiment is."""
    print_status(name, read_state(open_experiment(open_storage(storage), name)), as_json=as_json)


@app.command(name="list")
def list_(storage: StorageOption = "experiments", as_json: JsonOption = False) -> None:
    """List the experiments in the storage path."""
    print_list(open_storage(storage), as_json=as_json)


@app.command()
def doctor(
    words: SweepWords = None,
    storage: StorageOption = "experiments",
    name: NameOption = None,
    address: AddressOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Say what would stop a sweep: the checks of every start, one line each. Exit code 1 if one fails."""
    from sweep.doctor import examine

    sweep_name, overrides = _split(words)
    sweep = load_sweep(sweep_name, overrides)
    experiment_name = check_experiment_name(name or sweep.name)
    findings = examine(sweep, open_storage(storage), name=experiment_name, address=address, data_dir=data_dir)
    sys.exit(print_findings(findings, f"a sweep {sweep.name!r} can run"))


@app.command()
def verify(
    name: str,
    trial: Annotated[str | None, typer.Option("--retrain", help="Train this trial again and compare all bits.")] = None,
    storage: StorageOption = "experiments",
    data_dir: DataDirOption = None,
) -> None:
    """Check every file of an experiment, and compute the test scores again from the weights. Exit code 1 if not so."""
    from sweep import verify as verifying

    experiment = open_experiment(open_storage(storage), name)
    if trial:
        findings = verifying.retrain(experiment, trial, data_dir=data_dir)
        sys.exit(print_findings(findings, f"{trial} trained again"))
    findings = verifying.verify(experiment, data_dir=data_dir)
    sys.exit(print_findings(findings, f"{name} is whole and its scores are those of its weights"))


@app.command()
def report(names: list[str], storage: StorageOption = "experiments", out: OutOption = None) -> None:
    """Write the report of one experiment, or of several side by side."""
    names = list(dict.fromkeys(names))
    experiments = [open_experiment(open_storage(storage), name) for name in names]
    print_page(write_report([read_state(one) for one in experiments], choose_folder(open_storage(storage), names, out)))


def _split(words: list[str] | None) -> tuple[str, list[str]]:
    """Gives the sweep that is named first, or the default one, and the overrides."""
    given = list(words or [])
    sweep_name = given.pop(0) if given and ("=" not in given[0] or given[0].lower().endswith(".toml")) else "mnist"
    return _path(sweep_name), given


def _launch(
    sweep: SweepConfig | None,
    storage: str,
    name: str,
    address: str | None,
    data_dir: str | None,
    out: str | None,
    *,
    quiet: bool,
    extend: bool = False,
    only_failed: bool = False,
    confirm: "FinalistsAsked | None" = None,
) -> None:
    from sweep.display import make_display
    from sweep.launch import Launch, command_line, resume_command, run_sweep

    folder = choose_folder(open_storage(storage), [name], out).absolute()
    launch = Launch(
        storage=open_storage(storage),
        name=name,
        command=command_line(["sweep", *sys.argv[1:]]),
        address=address,
        data_dir=data_dir,
        out=str(folder) if out else None,
        extend=extend,
        only_failed=only_failed,
        confirm=confirm,
    )
    outcome = run_sweep(sweep, launch, make_display(quiet=quiet))
    exit_code = outcome.exit_code
    if not outcome.signal_number and not outcome.problem:
        try:
            print_outcome(outcome.state, folder)
        except SweepError as error:
            again = command_line(["sweep", "report", name, "--storage", str(launch.storage), "--out", str(folder)])
            print(f"error: {error}; all that is trained is kept, write its report with: {again}", file=sys.stderr)
            exit_code = exit_code or 1
    if not outcome.complete:
        if outcome.problem:
            print(f"error: {outcome.problem}", file=sys.stderr)
        failed = f", {len(outcome.state.failed)} failed" if outcome.state.failed else ""
        total = len(outcome.state.manifest.trials)
        print(f"INCOMPLETE {outcome.done}/{total}{failed}; go on with: {resume_command(launch)}", file=sys.stderr)
    sys.exit(exit_code)
