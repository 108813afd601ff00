"""Checks before training: what would stop a sweep, found out in seconds. The same at each start as in `sweep doctor`.

Each check gives one line, or raises the error that says what to do. Imports neither torch nor ray at the top.
"""

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sweep.config import SweepConfig, TrialConfig
from sweep.datasets import Dataset, load_dataset
from sweep.errors import ExperimentError, StorageError, SweepError
from sweep.plan import disk_estimate_gb, make_manifest, versions
from sweep.records import Experiment, Manifest
from sweep.report import choose_folder
from sweep.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check has found, in one line."""

    check: str
    ok: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok ' if self.ok else 'BAD'}  {self.check:9}  {self.text}"


def examine(
    sweep: SweepConfig, storage: Storage, *, name: str, address: str | None = None, data_dir: str | None = None
) -> Iterator[Finding]:
    """Gives the finding of every check for a sweep about to be run, one by one; Ray is joined only for an address."""
    experiment = Experiment(storage.folder(name))
    loaded: list[tuple[Dataset, Manifest]] = []

    def dataset_line() -> str:
        found = experiment.read_manifest()
        dataset = load_dataset(sweep.dataset, validation_size=sweep.validation_size, data_dir=data_dir)
        manifest = make_manifest(sweep, dataset, name=name, command="", engine="reference", fingerprint={})
        loaded.append((dataset, found or manifest))
        return check_dataset(dataset, found)

    def space_line() -> str:
        if not loaded:
            raise SweepError("not checked, because the data set could not be read")
        manifest = loaded[0][1]
        done = experiment.read_all_done([trial.trial_id for trial in manifest.trials])
        left = [trial for trial in manifest.trials if trial.trial_id not in done]
        return check_space(storage, manifest, left)

    yield _finding("versions", lambda: check_versions(experiment.read_manifest()))
    if address:
        yield from _cluster_findings(sweep, experiment.storage, address)
    else:
        yield _finding("resources", lambda: _local_resources(sweep))
    yield _finding("data set", dataset_line)
    yield _finding("storage", lambda: check_storage(experiment.storage))
    yield _finding("space", space_line)
    yield _finding("report", lambda: f"would be written to {choose_folder(storage, [name], None)}")


def check_versions(manifest: Manifest | None) -> str:
    """Says which versions are here, and where they differ from those that an experiment was begun with.

    Raises:
        SweepError: if a package is missing.
    """
    try:
        here = versions()
    except importlib.metadata.PackageNotFoundError as error:
        raise SweepError(f"the package {error.name} is not installed; install sweep again") from None
    before = manifest.versions if manifest else here
    changed = [f"{name} {before[name]} -> {here[name]}" for name in here if before.get(name, here[name]) != here[name]]
    if changed:
        return f"not those the experiment was begun with ({', '.join(changed)}): trained from here, bits may differ"
    return ", ".join(f"{name} {here[name]}" for name in ("python", "sweep", "torch", "ray", "numpy"))


def check_dataset(dataset: Dataset, manifest: Manifest | None) -> str:
    """Says which data set was read.

    Raises:
        ExperimentError: if it is not the one that the experiment was made with.
    """
    if manifest and dataset.sha256 != manifest.dataset.sha256:
        raise ExperimentError(
            f"data set {dataset.name} has the SHA-256 {dataset.sha256}, the experiment was made with "
            f"{manifest.dataset.sha256}; restore the data, or start anew under another --name"
        )
    sizes = (dataset.train.labels, dataset.validation.labels, dataset.test.labels)
    images = " + ".join(f"{len(labels):,}" for labels in sizes)
    return f"{dataset.name}, {images} images, SHA-256 {dataset.sha256[:16]}"


def check_storage(storage: Storage) -> str:
    """Says that files can be written.

    Raises:
        StorageError: if not; nothing stays behind.
    """
    storage.check_writable()
    return f"{storage} can be written"


def check_space(storage: Storage, manifest: Manifest, left: Sequence[TrialConfig]) -> str:
    """Says how the free space compares with what the trials that are left need.

    Raises:
        StorageError: if there is less.
    """
    needed = disk_estimate_gb(
        left, num_parameters=[manifest.parameters(trial) for trial in left], dataset=manifest.dataset
    )
    free = storage.free_gb()
    if free is None:
        return f"not limited by an object store, at most about {_size(needed)} needed"
    if free < needed:
        raise StorageError(
            f"{storage} has {_size(free)} free, the sweep needs about {_size(needed)}; "
            "free some space or choose another place with --storage"
        )
    return f"{_size(free)} free, at most about {_size(needed)} needed"


def _size(gb: float) -> str:
    return f"{gb:.1f} GB" if gb >= 1 else f"{1000 * gb:.1f} MB"


def _local_resources(sweep: SweepConfig) -> str:
    from sweep.tuning import check_resources, local_node

    return check_resources(sweep.resources, [local_node(gpus=sweep.resources.num_gpus != 0)])


def _cluster_findings(sweep: SweepConfig, storage: Storage, address: str) -> Iterator[Finding]:
    from sweep.tuning import Cluster, check_nodes, check_resources

    try:
        with Cluster(address) as cluster:
            text = cluster.warning or f"the cluster at {address} answers, with token authentication"
            yield Finding(check="cluster", ok=True, text=text)
            yield _finding("nodes", lambda: check_nodes(storage))
            yield _finding("resources", lambda: check_resources(sweep.resources, cluster.nodes))
    except SweepError as error:
        yield Finding(check="cluster", ok=False, text=str(error))


def _finding(check: str, line: Callable[[], str]) -> Finding:
    try:
        return Finding(check=check, ok=True, text=line())
    except SweepError as error:
        return Finding(check=check, ok=False, text=str(error))
