"""The data sets that are known by name: MNIST and the 8x8 digits, which come with the package, and torchvision's."""

import contextlib
import hashlib
import lzma
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.raw import Raw, Split, validation_indices
from sweep.errors import DatasetError, StorageError, first_line, reason
from sweep.storage import LocalStorage

_DATA = Path(__file__).parent.parent / "data"
_IDX_FILES = [f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
_DIGITS = tuple("0123456789")
# By name: the class of torchvision's that downloads it, and the names of its targets (source: `classes` of the former).
_IDX_SETS = {
    "mnist": ("MNIST", _DIGITS),
    "fashion_mnist": (
        "FashionMNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": ("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
}
NAMES = (*_IDX_SETS, "digits")


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


def data_files(name: str, data_dir: str | None) -> list[Path]:
    """The IDX files of a data set, there or not; none of the digits."""
    folder = Path(data_dir) if data_dir else cache_folder()
    return [folder / _IDX_SETS[name][0] / "raw" / file for file in _IDX_FILES] if name in _IDX_SETS else []


def read(name: str, data_dir: str | None) -> Raw:
    """Reads what torchvision's class would, without torchvision, whose import takes longer than all else here.

    DatasetError if a file is broken, or the data set cannot be downloaded.
    """
    if name == "digits":
        return _read_digits()
    files, names = data_files(name, data_dir), _IDX_SETS[name][1]
    contents = _unpacked(files, into_cache=not data_dir) if name == "mnist" else _downloaded(name, files)
    try:
        arrays = [_idx_array(file.name, content) for file, content in zip(files, contents, strict=True)]
        if [array.ndim for array in arrays] != [3, 1, 3, 1]:
            raise ValueError("images and labels are not in the files that are named after them")
        train, test = (
            Split(images=images, labels=labels.astype(np.int64)) for images, labels in (arrays[:2], arrays[2:])
        )
        if any(len(split.images) != len(split.labels) or not split.images.size for split in (train, test)):
            raise ValueError("there is not one label for each image, or no image")
        if train.images.shape[1:] != test.images.shape[1:]:
            raise ValueError("training and test images are not of one size")
        if max(train.labels.max(), test.labels.max()) >= len(names):
            raise ValueError(f"a label is not one of 0 to {len(names) - 1}")
    except (OSError, ValueError) as error:
        folder = files[0].parent
        raise DatasetError(f"a file in {folder} is broken ({first_line(error)}); remove it, then run again") from error
    return Raw(train=train, test=test, target_names=names, largest=255)


def _unpacked(files: list[Path], *, into_cache: bool) -> Iterator[bytes]:
    """The contents of MNIST's files; one that is missing is unpacked, and kept there if that can be."""
    packed = _DATA / "mnist"
    lines = (packed / "SHA256SUMS").read_text().splitlines()
    expected_of = {name: expected for expected, name in map(str.split, lines)}
    for file in files:
        expected, content = expected_of[file.name], None
        with contextlib.suppress(OSError):
            content = file.read_bytes()
        if content is None or hashlib.sha256(content).hexdigest() != expected:
            if content is not None and not into_cache:
                raise DatasetError(f"{file} is broken: its SHA-256 is not {expected}; remove it, then run again")
            content = unpack((packed / f"{file.name}.xz").read_bytes(), f"{packed}/{file.name}.xz", expected)
            with contextlib.suppress(StorageError):
                LocalStorage(file.parent).write(file.name, content)
        yield content


def unpack(content: bytes, file: str, expected: str) -> bytes:
    """The content of an `.xz` file unpacked; DatasetError if its SHA-256 is not the expected one."""
    unpacked = b""
    with contextlib.suppress(lzma.LZMAError):
        unpacked = lzma.decompress(content)
    if hashlib.sha256(unpacked).hexdigest() != expected:
        raise DatasetError(f"{file} is broken: unpacked, its SHA-256 is not {expected}; install sweep again")
    return unpacked


def _downloaded(name: str, files: list[Path]) -> Iterator[bytes]:
    """The contents of a data set's files, which torchvision downloads if one is missing."""
    if not all(os.path.exists(file) for file in files):
        import torchvision

        kind, folder = _IDX_SETS[name][0], files[0].parents[2]
        try:
            getattr(torchvision.datasets, kind)(folder, download=True)
        except Exception as error:  # torchvision raises whatever urllib, gzip and the file system raise
            raise DatasetError(
                f"{name} is not in {folder} and cannot be downloaded ({reason(error)}); put its four IDX files into "
                f"{files[0].parent}, or point --data-dir to a folder that has {kind}/raw"
            ) from error
    return (file.read_bytes() for file in files)


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


def _read_digits() -> Raw:
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
