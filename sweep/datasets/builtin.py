"""The data sets that are known by name: MNIST and the 8x8 digits, which come with the package, and torchvision's."""

import contextlib
import hashlib
import lzma
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.raw import Raw, Split, validation_indices
from sweep.errors import DatasetError, StorageError, first_line, reason
from sweep.storage import LocalStorage

_DATA = Path(__file__).parent.parent / "data"
_IDX_FILES = [f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
_DIGITS = tuple("0123456789")
# Source: the `classes` of torchvision's data sets.
_TARGET_NAMES = {
    "MNIST": _DIGITS,
    "FashionMNIST": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "KMNIST": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
# What is downloaded, each with torchvision's name of its class.
TORCHVISION = {"fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}


def cache_folder() -> Path:
    """The folder for unpacked and downloaded data: `$XDG_CACHE_HOME/sweep`, else `~/.cache/sweep`.

    It may be one that cannot be written, and is where a user has no home.
    """
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "sweep"
    try:
        return Path.home() / ".cache" / "sweep"
    except RuntimeError:
        return Path(os.devnull, "sweep")


def idx_files(kind: str, data_dir: str | None) -> list[Path]:
    """The four files of a data set of torchvision's, there or not, by the name of its class."""
    folder = Path(data_dir) if data_dir else cache_folder()
    return [folder / kind / "raw" / file for file in _IDX_FILES]


def unpack(content: bytes, file: str, expected: str) -> bytes:
    """The content of an `.xz` file unpacked; DatasetError if its SHA-256 is not the expected one."""
    unpacked = b""
    with contextlib.suppress(lzma.LZMAError):
        unpacked = lzma.decompress(content)
    if hashlib.sha256(unpacked).hexdigest() != expected:
        raise DatasetError(f"{file} is broken: unpacked, its SHA-256 is not {expected}; install sweep again")
    return unpacked


def _read_mnist(data_dir: str | None) -> Raw:
    """Where a file is missing it is unpacked, and kept there if that can be."""
    packed = _DATA / "mnist"
    lines = (packed / "SHA256SUMS").read_text().splitlines()
    expected_of = {name: expected for expected, name in map(str.split, lines)}
    files, contents = idx_files("MNIST", data_dir), []
    for file in files:
        expected, content = expected_of[file.name], None
        with contextlib.suppress(OSError):
            content = file.read_bytes()
        if content is None or hashlib.sha256(content).hexdigest() != expected:
            if content is not None and data_dir:
                raise DatasetError(f"{file} is broken: its SHA-256 is not {expected}; remove it, then run again")
            content = unpack((packed / f"{file.name}.xz").read_bytes(), f"{packed}/{file.name}.xz", expected)
            with contextlib.suppress(StorageError):
                LocalStorage(file.parent).write(file.name, content)
        contents.append(content)
    return _from_idx("MNIST", files, contents)


def _read_torchvision(title: str, data_dir: str | None) -> Raw:
    """Where a file is missing, the data set is downloaded first."""
    kind = TORCHVISION[title]
    files = idx_files(kind, data_dir)
    raw = files[0].parent
    folder = raw.parent.parent
    if not all(os.path.exists(file) for file in files):
        import torchvision

        try:
            getattr(torchvision.datasets, kind)(folder, download=True)
        except Exception as error:  # torchvision raises whatever urllib, gzip and the file system raise
            raise DatasetError(
                f"{title} is not in {folder} and cannot be downloaded ({reason(error)}); "
                f"put its four IDX files into {raw}, or point --data-dir to a folder that has {kind}/raw"
            ) from error
    return _from_idx(kind, files, (file.read_bytes() for file in files))


def _from_idx(kind: str, files: list[Path], contents: Iterable[bytes]) -> Raw:
    """Reads what torchvision's class would, without torchvision, whose import takes longer than all else here."""
    names = _TARGET_NAMES[kind]
    try:
        arrays = [_idx_array(file.name, content) for file, content in zip(files, contents, strict=True)]
        train_images, train_labels, test_images, test_labels = arrays
        if (len(train_images), len(test_images)) != (len(train_labels), len(test_labels)):
            raise ValueError("there is not one label for each image")
        if (train_images.ndim, train_labels.ndim, test_labels.ndim) != (3, 1, 1):
            raise ValueError("images and labels are not in the files that are named after them")
        if train_images.shape[1:] != test_images.shape[1:] or not train_images.size or not test_images.size:
            raise ValueError("training and test images are not of one size, or there are none")
        if max(train_labels.max(), test_labels.max()) >= len(names):
            raise ValueError(f"a label is not one of 0 to {len(names) - 1}")
    except (OSError, ValueError) as error:
        folder = files[0].parent
        raise DatasetError(f"a file in {folder} is broken ({first_line(error)}); remove it, then run again") from error
    train = Split(images=train_images, labels=train_labels.astype(np.int64))
    test = Split(images=test_images, labels=test_labels.astype(np.int64))
    return Raw(train=train, test=test, target_names=names, largest=255)


def _idx_array(file: str, content: bytes) -> NDArray[np.uint8]:
    """The array of a file's content: two zero bytes, the type 8, the number of axes, big-endian sizes, values.

    Source: "The MNIST database of handwritten digits", LeCun, Cortes and Burges.
    """
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        raise ValueError(f"{file} is no IDX file of bytes")
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + sizes.nbytes)
    if values.size != sizes.prod(dtype=np.int64):
        raise ValueError(f"{file} has {values.size:,} values, not the {sizes.prod(dtype=np.int64):,} it announces")
    return values.reshape(sizes)


def _read_digits(data_dir: str | None) -> Raw:
    """Of the 8x8 digits 360, by the rule of the validation images, are the test images."""
    rows = np.loadtxt(_DATA / "digits" / "digits.csv.gz", delimiter=",", dtype=np.int64)
    images, labels = rows[:, :-1].astype(np.uint8).reshape(-1, 8, 8), rows[:, -1]
    test = validation_indices(labels, 360)
    return Raw(
        train=Split(images=np.delete(images, test, axis=0), labels=np.delete(labels, test)),
        test=Split(images=images[test], labels=labels[test]),
        target_names=_DIGITS,
        largest=16,
    )


# How each is read, given the folder of the user's data, if there is one.
READERS: dict[str, Callable[[str | None], Raw]] = {
    "mnist": _read_mnist,
    **{title: partial(_read_torchvision, title) for title in TORCHVISION},
    "digits": _read_digits,
}
