"""A data set by name: its splits as arrays, its hash, and what a reader needs to know of it.

Owns where the files are, their checking, the scaling of pixels and the validation split. Arrays are numpy's, so
that Ray's object store hands them to the workers without a copy. Axis letters: N images, D inputs.
"""

import hashlib
import importlib.metadata
import lzma
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.errors import DatasetError, unknown
from sweep.storage import LocalStorage

_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_DIGITS = tuple(str(digit) for digit in range(10))
# Source: the `classes` of torchvision's data sets.
_CLASS_NAMES = {
    "MNIST": _DIGITS,
    "FashionMNIST": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "KMNIST": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}

Pixels = NDArray[np.generic]
Labels = NDArray[np.int64]


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


@dataclass(frozen=True, kw_only=True)
class _Raw:
    """A data set as read; `largest` is the pixel value that stands for full intensity, 0 to leave values alone."""

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    class_names: tuple[str, ...]
    largest: int


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
    raw = _read_npz(name) if name.endswith(".npz") else _READERS[name](data_dir)
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


def validation_indices(labels: Labels, validation_size: int) -> NDArray[np.int64]:
    """Gives the sorted indices of the validation images.

    Each class gives its share, rounded by largest remainders (ties to the smaller label), taken at even steps
    through the class in the data set's own order. So the rule depends on nothing but the labels and the size.

    Raises:
        DatasetError: if no training image of some class would be left.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if not 0 <= validation_size <= len(labels) - len(classes):
        raise DatasetError(
            f"validation_size is {validation_size}, but the data set has {len(labels)} training images in "
            f"{len(classes)} classes; choose at most {len(labels) - len(classes)}"
        )
    shares = counts * validation_size / len(labels)
    quotas = np.floor(shares).astype(np.int64)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    quotas[by_remainder[: validation_size - quotas.sum()]] += 1
    chosen = [
        np.flatnonzero(labels == label)[np.arange(quota) * count // max(quota, 1)]
        for label, count, quota in zip(classes, counts, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def cache_folder() -> Path:
    """The folder for unpacked and downloaded data: `$XDG_CACHE_HOME/sweep`, else `~/.cache/sweep`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sweep"


def _split(raw: _Raw, images: Pixels, labels: Labels) -> Split:
    values = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    if raw.largest:
        values /= raw.largest
        values -= 0.5
        values /= 0.5
    return Split(images=values, labels=labels)


def _viewable(raw: _Raw) -> NDArray[np.uint8]:
    values = raw.test_images.astype(np.float32)
    low, high = (0.0, float(raw.largest)) if raw.largest else (float(values.min()), float(values.max()))
    pixels: NDArray[np.uint8] = np.rint((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return pixels


def _sha256(raw: _Raw) -> str:
    digest = hashlib.sha256()
    for array in (raw.train_images, raw.train_labels, raw.test_images, raw.test_labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read_mnist(data_dir: str | None) -> _Raw:
    folder = Path(data_dir) if data_dir else cache_folder()
    raw = folder / "MNIST" / "raw"
    packed = resources.files("sweep") / "data" / "mnist"
    for line in (packed / "SHA256SUMS").read_text().splitlines():
        expected, file = line.split()
        target = raw / file
        if target.exists() and _file_sha256(target) == expected:
            continue
        if target.exists() and data_dir:
            raise DatasetError(f"{target} is broken: its SHA-256 is not {expected}; remove it, then run again")
        content = _unpack((packed / f"{file}.xz").read_bytes(), f"{packed}/{file}.xz", expected)
        LocalStorage(raw).write(file, content)
    return _from_idx_files("MNIST", raw)


def _unpack(content: bytes, file: str, expected: str) -> bytes:
    try:
        unpacked = lzma.decompress(content)
    except lzma.LZMAError:
        unpacked = b""
    if hashlib.sha256(unpacked).hexdigest() != expected:
        raise DatasetError(f"{file} is broken: unpacked, its SHA-256 is not {expected}; install sweep again")
    return unpacked


def _file_sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_torchvision(kind: str, title: str, data_dir: str | None) -> _Raw:
    folder = Path(data_dir) if data_dir else cache_folder()
    raw = folder / kind / "raw"
    if not all((raw / file).exists() for file in _IDX_FILES):
        import torchvision

        try:
            getattr(torchvision.datasets, kind)(folder, download=True)
        except Exception as error:  # torchvision raises whatever urllib, gzip and the file system raise
            raise DatasetError(
                f"{title} is not in {folder} and cannot be downloaded ({_brief(error)}); "
                f"put its four IDX files into {raw}, or point --data-dir to a folder that has {kind}/raw"
            ) from error
    return _from_idx_files(kind, raw)


def _from_idx_files(kind: str, raw: Path) -> _Raw:
    """Reads what torchvision's class would, without torchvision, whose import takes longer than all else here."""
    try:
        train_images, train_labels, test_images, test_labels = (_read_idx(raw / file) for file in _IDX_FILES)
        if (len(train_images), len(test_images)) != (len(train_labels), len(test_labels)):
            raise ValueError("there is not one label for each image")
    except (OSError, ValueError) as error:
        raise DatasetError(f"a file in {raw} is broken ({_brief(error)}); remove it, then run again") from error
    return _Raw(
        train_images=train_images,
        train_labels=train_labels.astype(np.int64),
        test_images=test_images,
        test_labels=test_labels.astype(np.int64),
        class_names=_CLASS_NAMES[kind],
        largest=255,
    )


def _read_idx(file: Path) -> NDArray[np.uint8]:
    """Reads an IDX file of bytes: two zero bytes, the type 8, the number of axes, big-endian sizes, the values.

    Source: "The MNIST database of handwritten digits", LeCun, Cortes and Burges.
    """
    content = file.read_bytes()
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{file.name} is no IDX file of bytes")
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + sizes.nbytes)
    if values.size != sizes.prod(dtype=np.int64):
        raise ValueError(f"{file.name} has {values.size:,} values, not the {sizes.prod(dtype=np.int64):,} it announces")
    return values.reshape(sizes)


def _read_digits(data_dir: str | None) -> _Raw:
    # The file that `sklearn.datasets.load_digits` reads; importing sklearn for it takes longer than a small sweep.
    file = importlib.metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    rows = np.loadtxt(str(file), delimiter=",", dtype=np.int64)
    images, labels = rows[:, :-1].astype(np.uint8).reshape(-1, 8, 8), rows[:, -1]
    test = validation_indices(labels, 360)
    train = np.setdiff1d(np.arange(len(labels)), test, assume_unique=True)
    return _Raw(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        class_names=_DIGITS,
        largest=16,
    )


def _read_npz(file: str) -> _Raw:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            x_train, y_train, x_test, y_test = (arrays[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    except KeyError as error:
        raise DatasetError(f"{file} has no array {error}; it needs x_train, y_train, x_test and y_test") from None
    except Exception as error:  # zipfile, numpy and the file system each raise their own
        raise DatasetError(f"cannot read {file} ({_brief(error)}); give an .npz file of plain arrays") from error
    for kind, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(images) or len(labels) == 0:
            raise DatasetError(f"{file}: y_{kind} must hold one whole number for each image of x_{kind}")
        if images.ndim < 2 or images.dtype.kind not in "iuf" or not np.isfinite(images).all():
            raise DatasetError(f"{file}: x_{kind} must hold finite numbers, images along the first axis")
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DatasetError(f"{file}: images of x_train are {x_train.shape[1:]}, those of x_test {x_test.shape[1:]}")
    num_classes = int(y_train.max()) + 1
    if len(np.unique(y_train)) < max(num_classes, 2) or y_test.min() < 0 or y_test.max() >= num_classes:
        raise DatasetError(
            f"{file}: labels must be 0, 1, ... without gaps in y_train, at least two, and the same in y_test"
        )
    return _Raw(
        train_images=x_train,
        train_labels=y_train.astype(np.int64),
        test_images=x_test,
        test_labels=y_test.astype(np.int64),
        class_names=tuple(str(label) for label in range(num_classes)),
        largest=255 if x_train.dtype == np.uint8 else 0,
    )


def _brief(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


_READERS: dict[str, Callable[[str | None], _Raw]] = {
    "mnist": _read_mnist,
    "fashion_mnist": lambda data_dir: _read_torchvision("FashionMNIST", "fashion_mnist", data_dir),
    "kmnist": lambda data_dir: _read_torchvision("KMNIST", "kmnist", data_dir),
    "digits": _read_digits,
}
