"""A data set by name: its splits as arrays, its hash, and what a reader needs to know of it.

    builtin.py    MNIST, the digits, and the sets that torchvision downloads
    npz.py        a user's own arrays
    raw.py        what both give: a data set as read, its validation split, what looks doubtful in it

Arrays are numpy's, so that Ray's object store hands them to the workers without a copy. Axis letters: N images,
D inputs.
"""

import contextlib
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.config import names_data_file
from sweep.datasets import builtin
from sweep.datasets.builtin import cache_folder
from sweep.datasets.npz import read_npz
from sweep.datasets.raw import Indices, Raw, Split, describe_values, find_doubts, validation_indices
from sweep.errors import DatasetError, reason, unknown
from sweep.records import DatasetRecord

__all__ = ["Dataset", "Split", "cache_folder", "data_files", "file_states", "load_dataset", "validation_indices"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set ready for training; its record says what it is and means, with a hash of its arrays as read."""

    record: DatasetRecord
    train: Split  # without the validation images
    validation: Split  # empty if none were asked for
    test: Split
    test_pixels: NDArray[np.uint8]  # the test images for people to look at, [N, *input_shape]

    @property
    def sha256(self) -> str:
        """Of the record."""
        return self.record.sha256

    @property
    def target_names(self) -> tuple[str, ...]:
        """Of the record, in the order of the labels."""
        return self.record.target_names


def load_dataset(
    name: str, *, validation_size: int = 0, data_dir: str | None = None, file: str | None = None
) -> Dataset:
    """Reads a data set and splits it.

    Args:
        name: mnist, fashion_mnist, kmnist, digits, or the path of an `.npz` file; see `read_npz`.
        validation_size: Images taken from the training images, stratified by class; 0 for none.
        data_dir: Folder in torchvision's layout (`MNIST/raw/...`); the user's cache folder without it.
        file: Where the `.npz` file is, if not at `name`.

    Raises:
        DatasetError: if it is not there, broken, or too small for the validation split.
    """
    if not names_data_file(name) and name not in builtin.NAMES:
        raise DatasetError(unknown("dataset", name, builtin.NAMES))
    files = data_files(name, data_dir=data_dir, file=file)
    before = file_states(files)
    try:
        raw = read_npz(file or name) if names_data_file(name) else builtin.read(name, data_dir)
        # Of a file that was replaced meanwhile no state is kept, so that the next start computes the hash.
        states = {path: state for path, state in file_states(files).items() if before.get(path, state) == state}
        return _dataset(name, raw, validation_size, states)
    except MemoryError as error:
        raise DatasetError(f"{file or name} does not fit into this machine's memory ({reason(error)})") from error


def data_files(name: str, *, data_dir: str | None = None, file: str | None = None) -> list[Path]:
    """The files in which a data set could change; none for the sets that come with the package."""
    if names_data_file(name):
        return [Path(file or name)]
    return builtin.data_files(name, data_dir) if name != "mnist" or data_dir else []


def file_states(files: list[Path]) -> dict[str, str]:
    """By absolute path of those that are there, a text that changes whenever a file does: its size and times."""
    states = {}
    for file in files:
        with contextlib.suppress(OSError):
            found = file.stat()
            # A record holds no path that is not UTF-8, which is then not found again where it is recorded.
            path = os.path.abspath(file).encode(errors="backslashreplace").decode()
            states[path] = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    return states


def _dataset(name: str, raw: Raw, validation_size: int, states: dict[str, str]) -> Dataset:
    chosen = validation_indices(raw.train.labels, validation_size)
    others = np.setdiff1d(np.arange(len(raw.train.labels)), chosen, assume_unique=True)
    splits = {
        "train": _for_training(raw, raw.train, others),
        "validation": _for_training(raw, raw.train, chosen),
        "test": _for_training(raw, raw.test, slice(None)),
    }
    num_classes = len(raw.target_names)
    counts = {split: np.bincount(splits[split].labels, minlength=num_classes).tolist() for split in splits}
    record = DatasetRecord(
        name=name,
        sha256=_sha256(raw),
        target_names=raw.target_names,
        input_shape=raw.train.images.shape[1:],
        **{f"{split}_size": len(splits[split].labels) for split in splits},
        values=describe_values(raw),
        target_counts=counts,
        doubts=find_doubts(raw, counts),
        files=states,
    )
    return Dataset(record=record, **splits, test_pixels=_viewable(raw))


def _for_training(raw: Raw, split: Split, chosen: Indices | slice) -> Split:
    images = split.images[chosen]
    values = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    if raw.largest:
        values /= raw.largest
        values -= 0.5
        values /= 0.5
    return Split(images=values, labels=split.labels[chosen])


def _viewable(raw: Raw) -> NDArray[np.uint8]:
    values = raw.test.images.astype(np.float32)
    low, high = (0.0, float(raw.largest)) if raw.largest else (float(values.min()), float(values.max()))
    pixels: NDArray[np.uint8] = np.rint((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return pixels


def _sha256(raw: Raw) -> str:
    digest = hashlib.sha256()
    for array in (raw.train.images, raw.train.labels, raw.test.images, raw.test.labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
