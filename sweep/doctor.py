"""Checks before training: what would stop a sweep, found out in seconds. The same at each start as in `sweep doctor`.

Each check gives one line, or raises the `SweepError` that says what to do. Imports neither torch nor ray at the top.
"""

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.config import SweepConfig, TrialConfig, names_data_file
from sweep.datasets import Dataset, data_files, file_states, load_dataset
from sweep.errors import DatasetError, ExperimentError, ResourceError, StorageError, SweepError
from sweep.machine import NOT_THERE, versions
from sweep.plan import ANY_WORKER, Worker, make_manifest, work_of
from sweep.records import DatasetRecord, Experiment, Manifest, State
from sweep.report import choose_folder
from sweep.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check has found, in one line; what is doubtful stops nothing."""

    check: str
    ok: bool
    text: str
    doubtful: bool = False

    def __str__(self) -> str:
        mark = "BAD" if not self.ok else "?" if self.doubtful else "ok"
        return f"{mark:3}  {self.check:9}  {self.text}"


def finding(check: str, line: Callable[[], str]) -> Finding:
    """Gives what a check finds that returns a line, or raises the error that says what is wrong."""
    try:
        return Finding(check=check, ok=True, text=line())
    except SweepError as error:
        return Finding(check=check, ok=False, text=str(error))


def examine(
    sweep: SweepConfig, storage: Storage, *, name: str, address: str | None = None, data_dir: str | None = None
) -> Iterator[Finding]:
    """Gives the finding of every check for a sweep about to be run, one by one; Ray is joined only for an address."""
    experiment = Experiment(storage.folder(name))
    known = functools.cache(experiment.read_manifest)
    loaded: list[Dataset] = []

    def dataset_line() -> str:
        loaded.append(read_dataset(sweep, known(), data_dir))
        return check_dataset(loaded[0], known())

    def dataset() -> Dataset:
        if not loaded:
            raise SweepError("not checked, because the data set could not be read")
        return loaded[0]

    def planned(worker: Worker) -> Manifest:
        return known() or make_manifest(sweep, dataset(), name=name, command="", worker=worker)

    @functools.cache
    def here() -> tuple[Manifest, Worker]:
        worker = _describe_here(sweep, known(), dataset())
        return planned(worker), worker

    def space_line() -> str:
        manifest = planned(ANY_WORKER)
        left = State(experiment=experiment, manifest=manifest).again(manifest).left
        return check_space(storage, manifest, left)

    yield finding("versions", lambda: check_versions(known()))
    if address:
        yield from _cluster_findings(sweep, experiment.storage, address)
    else:
        yield from _private_findings(sweep)
    yield finding("data set", dataset_line)
    if not address:  # on a joined cluster a worker would answer, for which one may have to wait
        yield finding("engine", lambda: check_engine(*here()))
        yield finding("products", lambda: describe_products(*here()))
    for record in [dataset.record for dataset in loaded]:
        yield Finding(check="classes", ok=True, text=describe_classes(record))
        yield from (Finding(check="data set", ok=True, doubtful=True, text=doubt) for doubt in record.doubts)
    yield finding("storage", lambda: check_storage(experiment.storage))
    yield finding("space", space_line)
    yield finding("report", lambda: f"would be written to {choose_folder(storage, [name], None)}")


def check_versions(manifest: Manifest | None) -> str:
    """Says which versions are here, and where they differ from those that an experiment was begun with."""
    here = versions()
    if missing := [name for name in here if here[name] == NOT_THERE]:
        raise SweepError(f"the package {missing[0]} is not installed; install sweep again")
    before = manifest.versions if manifest else here
    changed = [f"{name} {before[name]} -> {here[name]}" for name in here if before.get(name, here[name]) != here[name]]
    if changed:
        return f"not those the experiment was begun with ({', '.join(changed)}): trained from here, bits may differ"
    return ", ".join(f"{name} {here[name]}" for name in ("python", "sweep", "torch", "ray", "numpy"))


def read_dataset(sweep: SweepConfig, manifest: Manifest | None, data_dir: str | None) -> Dataset:
    """Reads the data set of a sweep, for an experiment that exists the one that it was made with."""
    dataset = load_dataset(
        sweep.dataset,
        validation_size=sweep.validation_size,
        data_dir=data_dir,
        file=find_data_file(sweep, manifest, data_dir),
    )
    check_dataset(dataset, manifest)
    return dataset


def find_data_file(sweep: SweepConfig, manifest: Manifest | None, data_dir: str | None) -> str | None:
    """Gives the path of the `.npz` file of a sweep, None if its data set is another kind.

    It is the sweep's own, from its sweep file's folder; of an experiment that exists also where it was read before,
    or, as sweep 0.1.0 took paths, in the shell's folder: there the hash tells whether it is the right one. With
    `data_dir` it is the file of its name there.
    """
    if not names_data_file(sweep.dataset):
        return None
    given = os.path.expanduser(sweep.dataset)
    places = [] if sweep.folder is None else [str(Path(sweep.folder, given))]
    if manifest:
        places += [*manifest.dataset.files, given]
    if data_dir:
        places = [str(Path(data_dir, Path(given).name))]
    for place in places:
        if os.path.exists(place):
            return place
    looked = ", nor at ".join(dict.fromkeys(os.path.abspath(place) for place in places))
    raise DatasetError(
        f"cannot read {sweep.dataset}: there is no file at {looked}; a path in a sweep file is relative to that file, "
        "--data-dir names the folder of a file that has moved"
    )


def compare_data(sweep: SweepConfig, manifest: Manifest, data_dir: str | None) -> str:
    """Checks that the data of a finished experiment are still those that it was made with; says why if it cannot.

    Only files that have another size, time or place than recorded are read.
    """
    try:
        file = find_data_file(sweep, manifest, data_dir)
    except DatasetError as error:
        return str(error)
    files = data_files(sweep.dataset, data_dir=data_dir, file=file)
    states = file_states(files)
    if len(states) < len(files):
        return f"{sweep.dataset} is not in {files[0].parent}"
    if states != manifest.dataset.files:
        read_dataset(sweep, manifest, data_dir)
    return ""


def check_engine(manifest: Manifest, worker: Worker) -> str:
    """Says which engines train the trials of an experiment, and which cannot on a worker."""
    trials = manifest.trials
    counts = Counter(trial.engine for trial in trials)
    if unfit := [engine for engine in counts if engine in worker.unfit]:
        here = versions()["torch"]
        begun = manifest.versions.get("torch", here)
        remedy = f"install torch=={begun}" if begun != here else "go on on the kind of machine that it was begun on"
        raise ResourceError(
            f"the experiment was begun with the {unfit[0]} engine, which cannot be used here "
            f"({worker.unfit[unfit[0]]}); {remedy}, or give the sweep another --name"
        )
    shares = {
        engine: f" for {count} of {len(trials)} trials" if len(counts) > 1 else "" for engine, count in counts.items()
    }
    used = " and ".join(f"the {engine} engine is used{share}" for engine, share in shares.items())
    reasons = worker.reasons(trials).items()
    why = [
        f", the {engine} one is not{' for the others' if engine in counts else ''}: {text}" for engine, text in reasons
    ]
    return used + "".join(why)


def describe_products(manifest: Manifest, worker: Worker) -> str:
    """Says which library multiplies for the stacked engine: the experiment's, or torch where a worker lacks that."""
    if worker.products_refused:
        return (
            f"torch multiplies here, {manifest.products} did where the experiment was begun, so bits may differ "
            f"({worker.products_refused})"
        )
    return f"{manifest.products_in_words} multiplies for the stacked engine"


def check_dataset(dataset: Dataset, manifest: Manifest | None) -> str:
    """Says which data set was read."""
    record = dataset.record
    if manifest and record.sha256 != manifest.dataset.sha256:
        where = next(iter(record.files), record.name)
        raise ExperimentError(
            f"data set {where} has the SHA-256 {record.sha256}, the experiment was made with "
            f"{manifest.dataset.sha256}; restore the data, or start anew under another --name"
        )
    sizes = (record.train_size, record.validation_size, record.test_size)
    images = " + ".join(f"{size:,}" for size in sizes)
    return f"{record.name}, {images} images, {record.values}, SHA-256 {record.sha256[:16]}"


def describe_classes(record: DatasetRecord) -> str:
    """Says how many images of each class the splits have: of up to 20 classes each number, else from which to which."""
    parts = []
    for split, counts in record.target_counts.items():
        each = ", ".join(f"{count:,}" for count in counts)
        numbers = each if len(counts) <= 20 else f"{min(counts):,} to {max(counts):,}"
        parts += [f"{split} {numbers}"] if any(counts) else []
    return f"{len(record.target_names)} classes, images of each: {'; '.join(parts)}"


def check_storage(storage: Storage) -> str:
    """Says that files can be written."""
    storage.check_writable()
    return f"{storage} can be written"


def check_space(storage: Storage, manifest: Manifest, left: Sequence[TrialConfig]) -> str:
    """Says how the free space compares with what the trials that are left need."""
    needed = disk_estimate_gb(manifest, left)
    free = storage.free_gb()
    if free is None:
        return f"not limited by an object store, at most about {_size(needed)} needed"
    if free < needed:
        raise StorageError(
            f"{storage} has {_size(free)} free, the sweep needs about {_size(needed)}; "
            "free some space or choose another place with --storage"
        )
    return f"{_size(free)} free, at most about {_size(needed)} needed"


def disk_estimate_gb(manifest: Manifest, trials: Sequence[TrialConfig]) -> float:
    """Gives an upper estimate of what the files of some trials take, in GB (10^9 bytes)."""
    predictions = manifest.dataset.test_size * (2 * len(manifest.dataset.target_names) + 1)
    total = 0
    for trial in trials:
        checkpoints = 2 * 3 * 4 * manifest.parameters(trial)  # two of them, with Adam's two moments, float32
        total += len(trial.seeds) * (checkpoints + predictions + 200 * trial.epochs)
    return total / 1e9


def _size(gb: float) -> str:
    return f"{gb:.1f} GB" if gb >= 1 else f"{1000 * gb:.1f} MB"


def _private_findings(sweep: SweepConfig) -> Iterator[Finding]:
    from sweep.tuning import check_private_ray, check_resources, local_node

    yield finding("Ray", check_private_ray)
    node = local_node(gpus=sweep.resources.num_gpus != 0)
    yield finding("resources", lambda: check_resources(sweep.resources, [node]))


def _describe_here(sweep: SweepConfig, manifest: Manifest | None, dataset: Dataset) -> Worker:
    from sweep.tuning import ask_worker, local_node, share_of_gpu

    num_gpus = share_of_gpu(sweep.resources, [local_node(gpus=sweep.resources.num_gpus != 0)], manifest)
    return ask_worker(sweep.resources, num_gpus, work_of(sweep, manifest, dataset.record), joined=False)


def _cluster_findings(sweep: SweepConfig, storage: Storage, address: str) -> Iterator[Finding]:
    from sweep.tuning import Cluster, check_nodes, check_resources

    try:
        with Cluster(address) as cluster:
            text = cluster.warning or f"the cluster at {address} answers, with token authentication"
            yield Finding(check="cluster", ok=True, text=text)
            yield finding("nodes", lambda: check_nodes(storage))
            yield finding("resources", lambda: check_resources(sweep.resources, cluster.nodes))
    except SweepError as error:
        yield Finding(check="cluster", ok=False, text=str(error))
