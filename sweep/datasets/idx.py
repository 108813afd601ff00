"""MNIST, which comes with the package, and the sets that torchvision downloads: files of the IDX format."""

import contextlib
import hashlib
import lzma
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.raw import DIGITS, Raw, brief
from sweep.errors import DatasetError, StorageError
from sweep.storage import LocalStorage

_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# Source: the `classes` of torchvision's data sets.
_CLASS_NAMES = {
    "MNIST": DIGITS,
    "FashionMNIST": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "KMNIST": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


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


def read_mnist(data_dir: str | None) -> Raw:
    """Reads MNIST from `data_dir` or the cache; where it is missing it is unpacked, and kept there if that can be.

    Raises:
        DatasetError: if a file in `data_dir`, or of the package, is broken.
    """
    folder = Path(data_dir) if data_dir else cache_folder()
    raw = folder / "MNIST" / "raw"
    packed = resources.files("sweep") / "data" / "mnist"
    contents: dict[str, bytes] = {}
    for line in (packed / "SHA256SUMS").read_text().splitlines():
        expected, file = line.split()
        content = _content(raw / file)
        if content is None or hashlib.sha256(content).hexdigest() != expected:
            if content is not None and data_dir:
                raise DatasetError(f"{raw / file} is broken: its SHA-256 is not {expected}; remove it, then run again")
            content = unpack((packed / f"{file}.xz").read_bytes(), f"{packed}/{file}.xz", expected)
            with contextlib.suppress(StorageError):
                LocalStorage(raw).write(file, content)
        contents[file] = content
    return _from_idx("MNIST", raw, contents.__getitem__)


def unpack(content: bytes, file: str, expected: str) -> bytes:
    """Unpacks the content of an `.xz` file.

    Raises:
        DatasetError: if the SHA-256 of what was packed is not the expected one.
    """
    try:
        unpacked = lzma.decompress(content)
    except lzma.LZMAError:
        unpacked = b""
    if hashlib.sha256(unpacked).hexdigest() != expected:
        raise DatasetError(f"{file} is broken: unpacked, its SHA-256 is not {expected}; install sweep again")
    return unpacked


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def read_torchvision(kind: str, title: str, data_dir: str | None) -> Raw:
    """Reads a data set of torchvision's by the name of its class; where it is missing it is downloaded first.

    Raises:
        DatasetError: if it cannot be downloaded, or a file is broken.
    """
    folder = Path(data_dir) if data_dir else cache_folder()
    raw = folder / kind / "raw"
    if not all(os.path.exists(raw / file) for file in _IDX_FILES):
        import torchvision

        try:
            getattr(torchvision.datasets, kind)(folder, download=True)
        except Exception as error:  # torchvision raises whatever urllib, gzip and the file system raise
            raise DatasetError(
                f"{title} is not in {folder} and cannot be downloaded ({brief(error)}); "
                f"put its four IDX files into {raw}, or point --data-dir to a folder that has {kind}/raw"
            ) from error
    return _from_idx(kind, raw, lambda file: (raw / file).read_bytes())


def _from_idx(kind: str, raw: Path, read: Callable[[str], bytes]) -> Raw:
    """Reads what torchvision's class would, without torchvision, whose import takes longer than all else here."""
    try:
        train_images, train_labels, test_images, test_labels = (_idx_array(file, read(file)) for file in _IDX_FILES)
        if (len(train_images), len(test_images)) != (len(train_labels), len(test_labels)):
            raise ValueError("there is not one label for each image")
        if (train_images.ndim, train_labels.ndim, test_labels.ndim) != (3, 1, 1):
            raise ValueError("images and labels are not in the files that are named after them")
        if train_images.shape[1:] != test_images.shape[1:] or not train_images.size or not test_images.size:
            raise ValueError("training and test images are not of one size, or there are none")
        if max(train_labels.max(), test_labels.max()) >= len(_CLASS_NAMES[kind]):
            raise ValueError(f"a label is not one of 0 to {len(_CLASS_NAMES[kind]) - 1}")
    except (OSError, ValueError) as error:
        raise DatasetError(f"a file in {raw} is broken ({brief(error)}); remove it, then run again") from error
    return Raw(
        train_images=train_images,
        train_labels=train_labels.astype(np.int64),
        test_images=test_images,
        test_labels=test_labels.astype(np.int64),
        target_names=_CLASS_NAMES[kind],
        largest=255,
    )


def _idx_array(file: str, content: bytes) -> NDArray[np.uint8]:
    """Gives the array of a file's content: two zero bytes, the type 8, the number of axes, big-endian sizes, values.

    Source: "The MNIST database of handwritten digits", LeCun, Cortes and Burges.
    """
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        raise ValueError(f"{file} is no IDX file of bytes")
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + sizes.nbytes)
    if values.size != sizes.prod(dtype=np.int64):
        raise ValueError(f"{file} has {values.size:,} values, not the {sizes.prod(dtype=np.int64):,} it announces")
    return values.reshape(sizes)
