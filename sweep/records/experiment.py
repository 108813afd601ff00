"""Names, writes and reads every file of an experiment."""

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.config import AXES
from sweep.errors import ExperimentError, one_line, shown
from sweep.metrics import selecting
from sweep.records.classification_format_2 import done_of_2, manifest_of_2
from sweep.records.codec import decode, decode_arrays, encode, encode_arrays, finite, is_file_name
from sweep.records.contents import Checkpoint, DoneRecord, Manifest, utc_now
from sweep.storage import Storage
from sweep.tasks import TASKS

_KEPT_CHECKPOINTS = 2
_TEST_SPLIT = {"images": ("N...", "fiu"), "y_true": ("N", "iu")}
_MOST_POINTS = 1_000_000
_MOST_THREADS = 1024


class CheckpointFile(NamedTuple):
    """What the name of a checkpoint's file says: the only place that writes, reads and sorts these names.

    Numbers are compared as numbers, because version 0.1.0 wrote the epoch with four digits.
    """

    epoch: int
    sha256_prefix: str
    name: str

    @classmethod
    def of(cls, epoch: int, sha256: str) -> "CheckpointFile":
        """Gives the file of a checkpoint that is to be written."""
        return cls(epoch, sha256[:16], f"checkpoint-{epoch:06d}-{sha256[:16]}.pt")

    @classmethod
    def among(cls, names: Iterable[str]) -> list["CheckpointFile"]:
        """Gives those of the names that are checkpoints', oldest first."""
        matches = [re.fullmatch(r"checkpoint-([0-9]{4,18})-([0-9a-f]{16})\.pt", name) for name in names]
        return sorted(cls(int(match[1]), match[2], match[0]) for match in matches if match)


class Experiment:
    """The files of one experiment.

    Args:
        storage: Of the experiment's own folder.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._decoded: tuple[bytes, Manifest] | None = None  # the manifest last read, by the hash of its file

    @property
    def name(self) -> str:
        """What its folder is called; a copy under another name is another experiment, whatever the manifest says."""
        return self.storage.name

    # ---- the manifest and what lies beside it

    def write_manifest(self, manifest: Manifest) -> None:
        """Writes the manifest whole."""
        self.storage.write("manifest.json", encode(manifest))

    def exists(self) -> bool:
        """Whether there is a manifest, damaged or not."""
        return self.storage.exists("manifest.json")

    def read_manifest(self) -> Manifest | None:
        """Gives the manifest, None if there is none; its name is what its folder is called, wherever it was made.

        Read each time, and decoded again only if its bytes have changed.

        Raises:
            ExperimentError: if it is damaged, or was written by a newer version; nothing is overwritten.
        """
        try:
            content = self.storage.read("manifest.json")
        except FileNotFoundError:
            return None
        digest = hashlib.sha256(content).digest()
        try:
            if self._decoded is None or self._decoded[0] != digest:
                self._decoded = digest, dataclasses.replace(_decode_manifest(content), name=one_line(self.name))
            return self._decoded[1]
        except ValueError as error:
            raise ExperimentError(
                f"the manifest {self.storage}/manifest.json is damaged ({error}); nothing was changed: "
                "restore it from a copy, or start anew under another --name"
            ) from None

    def write_test_split(self, *, images: NDArray[np.uint8], y_true: NDArray[np.int64]) -> None:
        """Writes test images `[N, ...]` and labels `[N]`."""
        self.storage.write("test_split.npz", encode_arrays({"images": images, "y_true": y_true}))

    def read_test_split(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Gives test images `[N, ...]` and labels `[N]`.

        Raises:
            FileNotFoundError: if they are not there.
            ValueError: if they are damaged.
        """
        arrays = decode_arrays(self.storage.read("test_split.npz"), _TEST_SPLIT)
        return arrays["images"], arrays["y_true"]

    def log_event(self, event: str, **details: Any) -> None:
        """Adds a line to `events.jsonl`, for people to read."""
        line = {"time": utc_now(), "event": event, **details}
        self.storage.append("events.jsonl", json.dumps(finite(line)))

    def read_events(self) -> list[dict[str, Any]]:
        """Gives the readable lines of `events.jsonl`, oldest first."""
        events = []
        for line in self.storage.read_lines("events.jsonl"):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue  # a line cut short by a crash
            if isinstance(event, dict):
                events.append(event)
        return sorted(events, key=lambda event: str(event.get("time", "")))  # several hosts may have written

    # ---- trials

    def write_checkpoint(self, trial_id: str, epoch: int, content: bytes) -> Checkpoint:
        """Writes what training resumes from after `epoch`, and keeps the last two."""
        folder = f"trials/{trial_id}"
        digest = hashlib.sha256(content).hexdigest()
        file = CheckpointFile.of(epoch, digest)
        self.storage.write(f"{folder}/{file.name}", content)
        for old in CheckpointFile.among(self.storage.list(folder))[:-_KEPT_CHECKPOINTS]:
            if old != file:  # a second writer of the trial may be ahead
                self.storage.delete(f"{folder}/{old.name}")
        return Checkpoint(epoch=epoch, file=file.name, sha256=digest, content=content)

    def read_checkpoint(self, trial_id: str) -> Checkpoint | None:
        """Gives the newest checkpoint whose hash is right; damaged ones are set aside as `.corrupt`."""
        for epoch, prefix, file in reversed(CheckpointFile.among(self.storage.list(f"trials/{trial_id}"))):
            path = f"trials/{trial_id}/{file}"
            try:
                content = self.storage.read(path)
            except FileNotFoundError:
                continue  # another writer of the same trial has just replaced it
            digest = hashlib.sha256(content).hexdigest()
            if digest.startswith(prefix):
                return Checkpoint(epoch=epoch, file=file, sha256=digest, content=content)
            self.storage.rename(path, f"{path}.corrupt")
            self.log_event("checkpoint_corrupt", trial_id=trial_id, file=file)
            self.storage.flush()  # a worker may be gone in a moment
        return None

    def checkpointed_epochs(self) -> dict[str, int]:
        """The epoch of the newest checkpoint, unread, of each trial that has one."""
        names: dict[str, list[str]] = {}
        for path in self.storage.files("trials"):
            trial_id, _, name = path.removeprefix("trials/").partition("/")
            names.setdefault(trial_id, []).append(name)
        files = {trial_id: CheckpointFile.among(names[trial_id]) for trial_id in names}
        return {trial_id: found[-1].epoch for trial_id, found in files.items() if found}

    def write_predictions(self, trial_id: str, arrays: Mapping[str, NDArray[Any]]) -> str:
        """Writes what is kept of a finished trial's predictions, and gives the SHA-256 of the file."""
        content = encode_arrays(arrays)
        self.storage.write(f"trials/{trial_id}/predictions.npz", content)
        return hashlib.sha256(content).hexdigest()

    def read_predictions(self, trial_id: str, arrays: Mapping[str, tuple[str, str]]) -> dict[str, NDArray[Any]]:
        """Gives what is kept of a finished trial's predictions; see `sweep.tasks.Task.ARRAYS`.

        Raises:
            FileNotFoundError: if the trial is not finished.
            ValueError: if they are damaged.
        """
        return decode_arrays(self.storage.read(f"trials/{trial_id}/predictions.npz"), arrays)

    def write_done(self, record: DoneRecord) -> None:
        """Declares a trial finished; its other files must be there already."""
        self.storage.write(f"trials/{record.trial_id}/done.json", encode(record))
        self.storage.delete(f"trials/{record.trial_id}/error.txt")

    def read_done(self, trial_id: str) -> DoneRecord | None:
        """Gives the done record of a trial; None if there is none, or if it is damaged: then it is trained again."""
        return self.read_all_done([trial_id]).get(trial_id)

    def read_all_done(self, trial_ids: Sequence[str]) -> dict[str, DoneRecord]:
        """Gives the done records of those of the trials that have one, in the order given."""
        contents = self.storage.read_each([f"trials/{trial_id}/done.json" for trial_id in trial_ids])
        records = [_decode_done(content) if content is not None else None for content in contents]
        pairs = zip(trial_ids, records, strict=True)
        return {trial_id: record for trial_id, record in pairs if record and record.trial_id == trial_id}

    def write_error(self, trial_id: str, traceback: str) -> None:
        """Keeps the first traceback of a failed trial."""
        self.storage.create(f"trials/{trial_id}/error.txt", traceback.encode(errors="backslashreplace"))

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


def _decode_manifest(content: bytes) -> Manifest:
    """Reads a manifest whose parts fit each other, and whose numbers can be worked with.

    Raises:
        ValueError: if it is damaged or unsafe.
    """
    manifest = decode(Manifest, content, manifest_of_2)
    sweep, resources, trials, data = manifest.sweep, manifest.sweep.resources, manifest.trials, manifest.dataset
    if {axis.name: axis.scale for axis in sweep.axes} != AXES or not all(axis.values for axis in sweep.axes):
        raise ValueError(f"sweep: axes: {shown([axis.name for axis in sweep.axes])} are not the axes, each with values")
    if math.prod(len(axis.values) for axis in sweep.axes) > _MOST_POINTS:
        raise ValueError(f"sweep: axes: it has more than {_MOST_POINTS:,} grid points")
    points = [
        *itertools.chain(*sweep.compare),
        *([sweep.baseline] if sweep.baseline else []),
        *(t.point for t in trials),
    ]
    of_axes = [(axis.scale, value) for axis in sweep.axes for value in axis.values]
    of_points = [pair for point in points for pair in zip(AXES.values(), point, strict=True)]
    for scale, value in of_axes + of_points:
        if not _is_value(scale, value):
            raise ValueError(f"{shown(value)} is no value of an axis of the scale {scale}")
    if manifest.task not in TASKS or sweep.selection not in selecting(manifest.metrics):
        raise ValueError(f"{shown(sweep.selection)} is no score that can select, of the task {shown(manifest.task)}")
    gpus = resources.num_gpus
    if not (sweep.epochs and sweep.seeds and resources.num_cpus and resources.checkpoint_every and resources.pack):
        raise ValueError("sweep: epochs, seeds or resources are none")
    if gpus != "auto" and not (isinstance(gpus, float) and gpus >= 0):
        raise ValueError(f"sweep: resources: num_gpus: {shown(gpus)} is no number of GPUs")
    if not trials or len({trial.trial_id for trial in trials}) < len(trials):
        raise ValueError("it has no trials, or two of one id")
    for trial in trials:
        if not all((trial.seeds, trial.epochs, trial.batch_size, *trial.layers)):
            raise ValueError(f"trial {trial.trial_id} lacks what it needs to be trained")
        if trial.role and not is_file_name(trial.role):
            raise ValueError(f"{shown(trial.role)} cannot be the role of a trial")
    if not data.target_names or not data.input_shape:
        raise ValueError("the data set has no targets or inputs")
    _check_fingerprint(manifest.fingerprint)
    return manifest


def _is_value(scale: str, value: Any) -> bool:
    if scale == "nominal":
        return isinstance(value, str)
    if scale == "count":
        return type(value) is int and value >= 0
    return isinstance(value, float) and not math.isnan(value)


def _decode_done(content: bytes) -> DoneRecord | None:
    """Reads a done record; None if it is damaged or unsafe, or its parts do not fit each other."""
    try:
        record = decode(DoneRecord, content, done_of_2)
        for _, fingerprint in record.fingerprints:
            _check_fingerprint(fingerprint)
    except ValueError:
        return None
    replicates = len(record.replicates)
    fits = all(
        len(rows.values) == len(rows.epochs) > 0 and all(len(row) == replicates for row in rows.values)
        for rows in record.rows
    )
    return record if fits and replicates and record.rows and record.fingerprints else None


def _check_fingerprint(fingerprint: Mapping[str, Any]) -> None:
    names, num_threads = [fingerprint.get(key, "") for key in ("device", "products")], fingerprint.get("num_threads", 1)
    are_texts = all(isinstance(name, str) for name in names)
    if not are_texts or type(num_threads) is not int or not 1 <= num_threads <= _MOST_THREADS:
        raise ValueError("fingerprint: the device, the products or the number of threads cannot be one")
