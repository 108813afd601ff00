"""Every file name and format in an experiment's folder, for those who write and those who read.

    manifest.json       every trial, fixed before any training; extending adds trials, nothing changes or leaves
    test_split.npz      test images (uint8) and labels, so that a report needs nothing but this folder
    events.jsonl        for people to read; never the truth
    trials/<trial id>/
        checkpoint-<epoch>-<sha256 prefix>.pt    what training resumes from; the last two are kept
        predictions.npz                          what the finished models say about the test images
        done.json                                the only meaning of "finished"
        error.txt                                the first traceback of a failed trial

Manifest and done records are sealed with their own SHA-256, so a truncated or edited one is noticed.
Imports neither torch nor ray. Axis letters: R replicates, N test images, C classes, E epochs.
"""

import dataclasses
import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.config import SweepConfig, TrialConfig
from sweep.errors import ExperimentError, unknown
from sweep.storage import Storage

_FORMAT = 2
_NO_DIGEST = "0" * 64
_KEPT_CHECKPOINTS = 2
_CHECKPOINT = re.compile(r"checkpoint-(\d{4,})-([0-9a-f]{16})\.pt")
HISTORY_METRICS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """What a reader needs to know of the data set: its hash, sizes of its splits, and names of its classes."""

    name: str
    sha256: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]
    train_size: int
    validation_size: int
    test_size: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an experiment is: its sweep, all its trials, and where it was launched.

    Attributes:
        name: Of the experiment.
        sweep: As launched or, after extending, as last extended.
        trials: Every trial; several of one grid point where seeds were added.
        dataset: Hash, splits and classes.
        commands: The command lines that made and extended it.
        created: UTC, ISO 8601.
        versions: Of python, sweep, torch, ray and numpy.
        fingerprint: What bit-exactness depends on; see `sweep.trial.fingerprint`.
        hardware: Processor, cores, memory_gb, gpus; for people to read.
        commit: Of the source tree, "" if it was not run from one.
    """

    name: str
    sweep: SweepConfig
    trials: tuple[TrialConfig, ...]
    dataset: DatasetRecord
    commands: tuple[str, ...]
    created: str
    versions: Mapping[str, str]
    fingerprint: Mapping[str, Any]
    hardware: Mapping[str, Any]
    commit: str

    @property
    def axes(self) -> dict[str, list[Any]]:
        """The values of every axis that has more than one, in order; all of the first three if none has."""
        axes = {name: list(values) for name, values in self.sweep.axes}
        varied = {name: values for name, values in axes.items() if len(values) > 1}
        return varied or dict(list(axes.items())[:3])

    def parameters(self, trial: TrialConfig) -> int:
        """Number of trained parameters of one replicate of a trial."""
        sizes = [math.prod(self.dataset.image_shape), *trial.layers, len(self.dataset.class_names)]
        return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))


@dataclass(frozen=True, kw_only=True)
class ReplicateRecord:
    """The final scores of one replicate; accuracies and other scores in [0, 1], NaN where there is none.

    Attributes:
        seed: The number its randomness came from.
        diverged: Whether a loss was not finite in any epoch.
        train_loss: Mean over the last epoch's images, each scored before its batch's update.
        train_accuracy: Likewise.
        validation_loss: After the last epoch.
        validation_accuracy: Likewise.
        test_loss: After the last epoch, computed once.
        test_accuracy: Likewise.
        precision: Macro average over classes on the test images; recall and f1 likewise.
        recall: See precision.
        f1: See precision.
        precision_weighted: Average over classes weighted by their number of test images; and so on.
        recall_weighted: See precision_weighted.
        f1_weighted: See precision_weighted.
        train_time_s: Seconds of training alone; a trial's time divided by R where replicates train together.
        parameters_sha256: Of the final parameters, float32 little-endian in the order of the layers.
    """

    seed: int
    diverged: bool
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    test_loss: float
    test_accuracy: float
    precision: float
    recall: float
    f1: float
    precision_weighted: float
    recall_weighted: float
    f1_weighted: float
    train_time_s: float
    parameters_sha256: str


@dataclass(frozen=True, kw_only=True)
class DoneRecord:
    """A finished trial.

    Attributes:
        trial_id: Of the trial.
        replicates: One record per seed, in the order of the trial's seeds.
        history: For each of `HISTORY_METRICS`, E rows of R values.
        files: SHA-256 of each file in the trial's folder that belongs to the record.
        fingerprints: Where it was trained: pairs of (first epoch, fingerprint), more than one if it moved.
        finished: UTC, ISO 8601.
    """

    trial_id: str
    replicates: tuple[ReplicateRecord, ...]
    history: Mapping[str, list[list[float]]]
    files: Mapping[str, str]
    fingerprints: tuple[tuple[int, Mapping[str, Any]], ...]
    finished: str

    def bit_exact(self, manifest: Manifest) -> bool:
        """Whether all epochs ran where the manifest's fingerprint says, so that retraining gives the same bits."""
        return all(fingerprint == manifest.fingerprint for _, fingerprint in self.fingerprints)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the finished models of a trial say.

    Attributes:
        test_logits: float16 `[R, N, C]`, for looking at margins; `y_pred` comes from the float32 values.
        y_pred: Predicted classes of the test images, `[R, N]`.
        test_confusion: `[R, C, C]`, rows true, columns predicted.
        validation_confusion: `[R, C, C]`, all zero without a validation split.
    """

    test_logits: NDArray[np.float16]
    y_pred: NDArray[np.int64]
    test_confusion: NDArray[np.int64]
    validation_confusion: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What training resumes from after `epoch`; the hash is of the content as written or as read."""

    epoch: int
    file: str
    sha256: str
    content: bytes


class Experiment:
    """The files of one experiment.

    Args:
        storage: Of the experiment's own folder.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    # ---- the manifest and what lies beside it

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes the manifest whole."""
        fields = {f.name: getattr(manifest, f.name) for f in dataclasses.fields(manifest)}
        fields["sweep"] = manifest.sweep.to_json()
        fields["trials"] = [{"trial_id": trial.trial_id, **trial.to_json()} for trial in manifest.trials]
        fields["dataset"] = dataclasses.asdict(manifest.dataset)
        self.storage.write("manifest.json", _seal(fields))

    def exists(self) -> bool:
        """Whether there is a manifest, damaged or not."""
        return self.storage.exists("manifest.json")

    def read_manifest(self) -> Manifest | None:
        """Gives the manifest, None if there is none.

        Raises:
            ExperimentError: if it is damaged, or was written by a newer version; nothing is overwritten.
        """
        try:
            content = self.storage.read("manifest.json")
        except FileNotFoundError:
            return None
        try:
            fields = _unseal(content)
            trials = [
                (row["trial_id"], TrialConfig.from_json({k: v for k, v in row.items() if k != "trial_id"}))
                for row in fields.pop("trials")
            ]
            if any(trial_id != trial.trial_id for trial_id, trial in trials):
                raise ValueError("a trial's id is not that of its fields; another version of sweep wrote it")
            manifest = Manifest(
                sweep=SweepConfig.from_json(fields.pop("sweep")),
                trials=tuple(trial for _, trial in trials),
                dataset=DatasetRecord(**_tuples(fields.pop("dataset"))),
                **_tuples(fields),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ExperimentError(
                f"the manifest {self.storage}/manifest.json is damaged ({error}); nothing was changed: "
                "restore it from a copy, or start anew under another --name"
            ) from None
        return manifest

    def write_test_split(self, *, images: NDArray[np.uint8], y_true: NDArray[np.int64]) -> None:
        """Writes test images `[N, ...]` and labels `[N]`."""
        self.storage.write("test_split.npz", _npz(images=images, y_true=y_true))

    def read_test_split(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Gives test images `[N, ...]` and labels `[N]`."""
        arrays = _read_npz(self.storage.read("test_split.npz"))
        return arrays["images"], arrays["y_true"]

    def log_event(self, event: str, **details: Any) -> None:
        """Adds a line to `events.jsonl`, for people to read."""
        line = {"time": utc_now(), "event": event, **details}
        self.storage.append("events.jsonl", json.dumps(_finite(line)))

    def read_events(self) -> list[dict[str, Any]]:
        """Gives the readable lines of `events.jsonl`, oldest first."""
        events = []
        for line in self.storage.read_lines("events.jsonl"):
            try:
                events.append(json.loads(line))
            except ValueError:
                continue  # a line cut short by a crash
        return sorted(events, key=lambda event: str(event.get("time", "")))  # several hosts may have written

    # ---- trials

    def write_checkpoint(self, trial_id: str, epoch: int, content: bytes) -> Checkpoint:
        """Writes what training resumes from after `epoch`, and keeps the last two."""
        folder = f"trials/{trial_id}"
        digest = hashlib.sha256(content).hexdigest()
        file = f"checkpoint-{epoch:04d}-{digest[:16]}.pt"
        self.storage.write(f"{folder}/{file}", content)
        for old in self._checkpoints(trial_id)[:-_KEPT_CHECKPOINTS]:
            if old != file:  # a second writer of the trial may be ahead
                self.storage.delete(f"{folder}/{old}")
        return Checkpoint(epoch=epoch, file=file, sha256=digest, content=content)

    def read_checkpoint(self, trial_id: str) -> Checkpoint | None:
        """Gives the newest checkpoint whose hash is right; damaged ones are set aside as `.corrupt`."""
        for file in reversed(self._checkpoints(trial_id)):
            path = f"trials/{trial_id}/{file}"
            epoch, prefix = _CHECKPOINT.fullmatch(file).groups()  # type: ignore[union-attr]
            try:
                content = self.storage.read(path)
            except FileNotFoundError:
                continue  # another writer of the same trial has just replaced it
            digest = hashlib.sha256(content).hexdigest()
            if digest.startswith(prefix):
                return Checkpoint(epoch=int(epoch), file=file, sha256=digest, content=content)
            self.storage.rename(path, f"{path}.corrupt")
            self.log_event("checkpoint_corrupt", trial_id=trial_id, file=file)
            self.storage.flush()  # a worker may be gone in a moment
        return None

    def checkpointed_epochs(self) -> dict[str, int]:
        """The epoch of the newest checkpoint, unread, of each trial that has one."""
        epochs: dict[str, int] = {}
        for path in self.storage.files("trials"):
            _, trial_id, name = path.split("/", 2)
            if found := _CHECKPOINT.fullmatch(name):
                epochs[trial_id] = max(epochs.get(trial_id, 0), int(found[1]))
        return epochs

    def write_predictions(self, trial_id: str, predictions: Predictions) -> str:
        """Writes the predictions and gives the SHA-256 of the file."""
        content = _npz(**{f.name: getattr(predictions, f.name) for f in dataclasses.fields(predictions)})
        self.storage.write(f"trials/{trial_id}/predictions.npz", content)
        return hashlib.sha256(content).hexdigest()

    def read_predictions(self, trial_id: str) -> Predictions:
        """Gives a finished trial's predictions.

        Raises:
            FileNotFoundError: if the trial is not finished.
        """
        return Predictions(**_read_npz(self.storage.read(f"trials/{trial_id}/predictions.npz")))

    def write_done(self, record: DoneRecord) -> None:
        """Declares a trial finished; its other files must be there already."""
        fields = dataclasses.asdict(record)
        self.storage.write(f"trials/{record.trial_id}/done.json", _seal(fields))
        self.storage.delete(f"trials/{record.trial_id}/error.txt")

    def read_done(self, trial_id: str) -> DoneRecord | None:
        """Gives the done record of a trial; None if there is none, or if it is damaged: then it is trained again."""
        return self.read_all_done([trial_id]).get(trial_id)

    def read_all_done(self, trial_ids: Sequence[str]) -> dict[str, DoneRecord]:
        """Gives the done records of those of the trials that have one, in the order given."""
        contents = self.storage.read_each([f"trials/{trial_id}/done.json" for trial_id in trial_ids])
        records = zip(trial_ids, map(_done_record, contents), strict=True)
        return {trial_id: record for trial_id, record in records if record and record.trial_id == trial_id}

    def write_error(self, trial_id: str, traceback: str) -> None:
        """Keeps the first traceback of a failed trial."""
        self.storage.create(f"trials/{trial_id}/error.txt", traceback.encode())

    def read_error(self, trial_id: str) -> str | None:
        """Gives the traceback of a failed trial, None if it did not fail."""
        return self.read_errors([trial_id]).get(trial_id)

    def read_errors(self, trial_ids: Sequence[str]) -> dict[str, str]:
        """Gives the tracebacks of those of the trials that failed, in the order given."""
        contents = self.storage.read_each([f"trials/{trial_id}/error.txt" for trial_id in trial_ids])
        return {
            trial_id: content.decode(errors="replace")
            for trial_id, content in zip(trial_ids, contents, strict=True)
            if content is not None
        }

    def clear_error(self, trial_id: str) -> None:
        """Forgets that a trial failed, before it is run again."""
        self.storage.delete(f"trials/{trial_id}/error.txt")

    def _checkpoints(self, trial_id: str) -> list[str]:
        return [name for name in self.storage.list(f"trials/{trial_id}") if _CHECKPOINT.fullmatch(name)]


@dataclass(frozen=True, kw_only=True)
class ExperimentRecords:
    """All that a report reads of an experiment, except the predictions, which are read one trial at a time.

    Attributes:
        experiment: For `read_predictions` and `read_test_split`.
        manifest: Of the experiment.
        done: Record of each finished trial by trial id, in the manifest's order.
        failed: Last line of the traceback of each failed trial by trial id.
        events: For provenance: wall times, retries.
    """

    experiment: Experiment
    manifest: Manifest
    done: Mapping[str, DoneRecord]
    failed: Mapping[str, str]
    events: list[dict[str, Any]]

    @property
    def complete(self) -> bool:
        """Whether every trial of the manifest is finished."""
        return len(self.done) == len(self.manifest.trials)


def open_experiment(storage: Storage, name: str) -> Experiment:
    """Gives an experiment that exists.

    Raises:
        ExperimentError: if there is none of that name, with the names that there are.
    """
    experiment = Experiment(storage.folder(name))
    if not experiment.exists():
        names = list_experiments(storage)
        allowed = unknown("experiment", name, names) if names else f"unknown experiment {name!r}; there are none yet"
        raise ExperimentError(f"{allowed} (in {storage})")
    return experiment


def list_experiments(storage: Storage) -> list[str]:
    """Names of the experiments in a storage path."""
    return [name for name in storage.list() if storage.exists(f"{name}/manifest.json")]


def read_records(experiment: Experiment) -> ExperimentRecords:
    """Reads what there is of an experiment, finished or not.

    Raises:
        ExperimentError: if there is no manifest, or it is damaged.
    """
    manifest = experiment.read_manifest()
    if manifest is None:
        raise ExperimentError(f"{experiment.storage} has no manifest.json; it is no experiment")
    trial_ids = [trial.trial_id for trial in manifest.trials]
    done = experiment.read_all_done(trial_ids)
    errors = experiment.read_errors([trial_id for trial_id in trial_ids if trial_id not in done])
    failed = {trial_id: (error.strip().splitlines() or ["?"])[-1] for trial_id, error in errors.items()}
    return ExperimentRecords(
        experiment=experiment, manifest=manifest, done=done, failed=failed, events=experiment.read_events()
    )


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _done_record(content: bytes | None) -> DoneRecord | None:
    try:
        fields = _unseal(content or b"")
        rows: list[dict[str, Any]] = [
            {key: math.nan if value is None else value for key, value in row.items()} for row in fields["replicates"]
        ]
        return DoneRecord(
            trial_id=fields["trial_id"],
            replicates=tuple(ReplicateRecord(**row) for row in rows),
            history={
                metric: [[math.nan if value is None else value for value in row] for row in epochs]
                for metric, epochs in fields["history"].items()
            },
            files=fields["files"],
            fingerprints=tuple((epoch, fingerprint) for epoch, fingerprint in fields["fingerprints"]),
            finished=fields["finished"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def _finite(value: Any) -> Any:
    """JSON has no NaN: null stands for it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _seal(fields: Mapping[str, Any]) -> bytes:
    """Gives a file's bytes, with the SHA-256 of these very bytes, in which zeros stand for it."""
    content = json.dumps({"sha256": _NO_DIGEST, "format": _FORMAT, **_finite(fields)}, indent=1).encode()
    return content.replace(_NO_DIGEST.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def _unseal(content: bytes) -> dict[str, Any]:
    body = json.loads(content)
    if not isinstance(body, dict):
        raise ValueError("it is no record")
    if body.pop("format", _FORMAT) != _FORMAT:
        raise ValueError("it has the format of another version of sweep")
    digest = str(body.pop("sha256", ""))
    if digest != hashlib.sha256(content.replace(digest.encode(), _NO_DIGEST.encode(), 1)).hexdigest():
        raise ValueError("its checksum is wrong")
    return body


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def _npz(**arrays: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _read_npz(content: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
