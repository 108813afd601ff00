"""A data set ready for training: scaled, split and hashed."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.arrays import read_digits, read_npz
from sweep.datasets.idx import read_mnist, read_torchvision
from sweep.datasets.raw import Labels, Pixels, Raw, validation_indices
from sweep.errors import DatasetError, unknown

_READERS: dict[str, Callable[[str | None], Raw]] = {
    "mnist": read_mnist,
    "fashion_mnist": lambda data_dir: read_torchvision("FashionMNIST", "fashion_mnist", data_dir),
    "kmnist": lambda data_dir: read_torchvision("KMNIST", "kmnist", data_dir),
    "digits": lambda data_dir: read_digits(),
}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images `[N, D]` float32, scaled to [-1, 1] where they are pixels, and labels `[N]` int64."""

    images: NDArray[np.float32]
    labels: Labels


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set ready for training.

    Attributes:
        name: As asked for.
        sha256: Hash of all images and labels as read, before scaling and splitting.
        class_names: In the order of the labels.
        image_shape: Of one image; its product is D.
        train: Without the validation images.
        validation: Empty if none were asked for.
        test: As the data set defines it.
        test_pixels: The test images for people to look at, `[N, *image_shape]` uint8.
    """

    name: str
    sha256: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]
    train: Split
    validation: Split
    test: Split
    test_pixels: NDArray[np.uint8]


def load_dataset(name: str, *, validation_size: int = 0, data_dir: str | None = None) -> Dataset:
    """Reads a data set and splits it.

    Args:
        name: mnist, fashion_mnist, kmnist, digits, or the path of an `.npz` file with the arrays x_train, y_train,
            x_test and y_test (integer labels from 0; uint8 pixels are scaled, other numbers are taken as they are).
        validation_size: Images taken from the training images, stratified by class; 0 for none.
        data_dir: Folder in torchvision's layout (`MNIST/raw/...`); the user's cache folder without it.

    Raises:
        DatasetError: if it is not there, broken, or too small for the validation split.
    """
    if not name.endswith(".npz") and name not in _READERS:
        raise DatasetError(unknown("dataset", name, _READERS))
    raw = read_npz(name) if name.endswith(".npz") else _READERS[name](data_dir)
    validation = validation_indices(raw.train_labels, validation_size)
    train = np.setdiff1d(np.arange(len(raw.train_labels)), validation, assume_unique=True)
    return Dataset(
        name=name,
        sha256=_sha256(raw),
        class_names=raw.class_names,
        image_shape=raw.train_images.shape[1:],
        train=_split(raw, raw.train_images[train], raw.train_labels[train]),
        validation=_split(raw, raw.train_images[validation], raw.train_labels[validation]),
        test=_split(raw, raw.test_images, raw.test_labels),
        test_pixels=_viewable(raw),
    )


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
