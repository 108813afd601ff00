"""A data set ready for training: scaled, split, hashed and described."""

import contextlib
import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.config import names_data_file
from sweep.datasets.digits import read_digits
from sweep.datasets.idx import idx_files, read_mnist, read_torchvision
from sweep.datasets.npz import read_npz
from sweep.datasets.raw import Labels, Pixels, Raw, brief, validation_indices
from sweep.datasets.summary import count_classes, describe_values, find_doubts
from sweep.errors import DatasetError, unknown
from sweep.records import DatasetRecord

_READERS: dict[str, Callable[[str | None], Raw]] = {
    "mnist": read_mnist,
    "fashion_mnist": lambda data_dir: read_torchvision("FashionMNIST", "fashion_mnist", data_dir),
    "kmnist": lambda data_dir: read_torchvision("KMNIST", "kmnist", data_dir),
    "digits": lambda data_dir: read_digits(),
}
_DOWNLOADED = {"fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images `[N, D]` float32, scaled to [-1, 1] where they are pixels, and labels `[N]` int64."""

    images: NDArray[np.float32]
    labels: Labels


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set ready for training.

    Attributes:
        record: What it is and means, from all its arrays; its hash is of them as read.
        train: Without the validation images.
        validation: Empty if none were asked for.
        test: As the data set defines it.
        test_pixels: The test images for people to look at, `[N, *input_shape]` uint8.
    """

    record: DatasetRecord
    train: Split
    validation: Split
    test: Split
    test_pixels: NDArray[np.uint8]

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
        name: mnist, fashion_mnist, kmnist, digits, or the path of an `.npz` file with the arrays x_train, y_train,
            x_test and y_test (integer labels from 0; uint8 pixels are scaled, other numbers are taken as they are).
        validation_size: Images taken from the training images, stratified by class; 0 for none.
        data_dir: Folder in torchvision's layout (`MNIST/raw/...`); the user's cache folder without it.
        file: Where the `.npz` file is, if not at `name`.

    Raises:
        DatasetError: if it is not there, broken, or too small for the validation split.
    """
    if not names_data_file(name) and name not in _READERS:
        raise DatasetError(unknown("dataset", name, _READERS))
    files = data_files(name, data_dir=data_dir, file=file)
    before = file_states(files)
    try:
        raw = read_npz(file or name) if names_data_file(name) else _READERS[name](data_dir)
        # Of a file that was replaced meanwhile no state is kept, so that the next start computes the hash.
        states = {path: state for path, state in file_states(files).items() if before.get(path, state) == state}
        return _dataset(name, raw, validation_size, states)
    except MemoryError as error:
        raise DatasetError(f"{file or name} does not fit into this machine's memory ({brief(error)})") from error


def data_files(name: str, *, data_dir: str | None = None, file: str | None = None) -> list[Path]:
    """Gives the files in which a data set could change; none for the sets that come with the package."""
    if names_data_file(name):
        return [Path(file or name)]
    kind = _DOWNLOADED.get(name) or ("MNIST" if name == "mnist" and data_dir else None)
    return idx_files(kind, data_dir) if kind else []


def file_states(files: list[Path]) -> dict[str, str]:
    """Gives, by absolute path, a text that changes whenever a file does: its size and times, of content and of inode.

    A file that is not there is left out.
    """
    states = {}
    for file in files:
        with contextlib.suppress(OSError):
            found = file.stat()
            # A record holds no path that is not UTF-8, which is then not found again where it is recorded.
            path = os.path.abspath(file).encode(errors="backslashreplace").decode()
            states[path] = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    return states


def _dataset(name: str, raw: Raw, validation_size: int, states: dict[str, str]) -> Dataset:
    validation = validation_indices(raw.train_labels, validation_size)
    train = np.setdiff1d(np.arange(len(raw.train_labels)), validation, assume_unique=True)
    splits = {
        "train": _split(raw, raw.train_images[train], raw.train_labels[train]),
        "validation": _split(raw, raw.train_images[validation], raw.train_labels[validation]),
        "test": _split(raw, raw.test_images, raw.test_labels),
    }
    target_counts = count_classes(
        {split_name: split.labels for split_name, split in splits.items()}, len(raw.target_names)
    )
    record = DatasetRecord(
        name=name,
        sha256=_sha256(raw),
        target_names=raw.target_names,
        input_shape=raw.train_images.shape[1:],
        train_size=len(train),
        validation_size=len(validation),
        test_size=len(raw.test_labels),
        values=describe_values(raw),
        target_counts=target_counts,
        doubts=find_doubts(raw, target_counts),
        files=states,
    )
    return Dataset(record=record, **splits, test_pixels=_viewable(raw))


def _split(raw: Raw, images: Pixels, labels: Labels) -> Split:
    values = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    if raw.largest:
        values /= raw.largest
        values -= 0.5
        values /= 0.5
    return Split(images=values, labels=labels)


def _viewable(raw: Raw) -> NDArray[np.uint8]:
    values = raw.test_images.astype(np.float32)
    low, high = (0.0, float(raw.largest)) if raw.largest else (float(values.min()), float(values.max()))
    pixels: NDArray[np.uint8] = np.rint((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return pixels


def _sha256(raw: Raw) -> str:
    digest = hashlib.sha256()
    for array in (raw.train_images, raw.train_labels, raw.test_images, raw.test_labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
