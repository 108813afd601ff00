"""Names, writes and reads every file of an experiment."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.errors import ExperimentError, one_line
from sweep.records.contents import Checkpoint, DoneRecord, Manifest, Predictions, utc_now
from sweep.records.encoding import (
    decode_arrays,
    decode_done,
    decode_manifest,
    encode_arrays,
    encode_done,
    encode_manifest,
    finite,
)
from sweep.storage import Storage

_KEPT_CHECKPOINTS = 2


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
        self.storage.write("manifest.json", encode_manifest(manifest))

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
                self._decoded = digest, dataclasses.replace(decode_manifest(content), name=one_line(self.name))
            return self._decoded[1]
        except ValueError as error:
            raise ExperimentError(
                f"the manifest {self.storage}/manifest.json is damaged ({error}); nothing was changed: "
                "restore it from a copy, or start anew under another --name"
            ) from None

    def write_test_split(self, *, images: NDArray[np.uint8], y_true: NDArray[np.int64]) -> None:
        """Writes test images `[N, ...]` and labels `[N]`."""
        self.storage.write("test_split.npz", encode_arrays(images=images, y_true=y_true))

    def read_test_split(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Gives test images `[N, ...]` and labels `[N]`.

        Raises:
            FileNotFoundError: if they are not there.
            ValueError: if they are damaged.
        """
        arrays = decode_arrays(self.storage.read("test_split.npz"), images="N...", y_true="N")
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

    def write_predictions(self, trial_id: str, predictions: Predictions) -> str:
        """Writes the predictions and gives the SHA-256 of the file."""
        content = encode_arrays(**{f.name: getattr(predictions, f.name) for f in dataclasses.fields(predictions)})
        self.storage.write(f"trials/{trial_id}/predictions.npz", content)
        return hashlib.sha256(content).hexdigest()

    def read_predictions(self, trial_id: str) -> Predictions:
        """Gives a finished trial's predictions.

        Raises:
            FileNotFoundError: if the trial is not finished.
            ValueError: if they are damaged.
        """
        content = self.storage.read(f"trials/{trial_id}/predictions.npz")
        shapes = {"test_logits": "RNC", "y_pred": "RN", "test_confusion": "RCC", "validation_confusion": "RCC"}
        return Predictions(**decode_arrays(content, **shapes))

    def write_done(self, record: DoneRecord) -> None:
        """Declares a trial finished; its other files must be there already."""
        self.storage.write(f"trials/{record.trial_id}/done.json", encode_done(record))
        self.storage.delete(f"trials/{record.trial_id}/error.txt")

    def read_done(self, trial_id: str) -> DoneRecord | None:
        """Gives the done record of a trial; None if there is none, or if it is damaged: then it is trained again."""
        return self.read_all_done([trial_id]).get(trial_id)

    def read_all_done(self, trial_ids: Sequence[str]) -> dict[str, DoneRecord]:
        """Gives the done records of those of the trials that have one, in the order given."""
        contents = self.storage.read_each([f"trials/{trial_id}/done.json" for trial_id in trial_ids])
        records = [decode_done(content) if content is not None else None for content in contents]
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
