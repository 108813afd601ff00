"""The 8x8 digits, which come with the package, and a user's own arrays."""

from pathlib import Path

import numpy as np

from sweep.datasets.raw import DIGITS, Raw, brief, validation_indices
from sweep.errors import DatasetError

_DIGITS_FILE = Path(__file__).parent.parent / "data" / "digits" / "digits.csv.gz"


def read_digits() -> Raw:
    """Reads the digits; 360 of them, by the rule of the validation images, are the test images."""
    rows = np.loadtxt(_DIGITS_FILE, delimiter=",", dtype=np.int64)
    images, labels = rows[:, :-1].astype(np.uint8).reshape(-1, 8, 8), rows[:, -1]
    test = validation_indices(labels, 360)
    train = np.setdiff1d(np.arange(len(labels)), test, assume_unique=True)
    return Raw(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        class_names=DIGITS,
        largest=16,
    )


def read_npz(file: str) -> Raw:
    """Reads the arrays x_train, y_train, x_test and y_test of an `.npz` file.

    Raises:
        DatasetError: if it cannot be read, or does not hold images and labels.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            x_train, y_train, x_test, y_test = (arrays[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    except KeyError as error:
        raise DatasetError(f"{file} has no array {error}; it needs x_train, y_train, x_test and y_test") from None
    except Exception as error:  # zipfile, numpy and the file system each raise their own
        raise DatasetError(f"cannot read {file} ({brief(error)}); give an .npz file of plain arrays") from error
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
    return Raw(
        train_images=x_train,
        train_labels=y_train.astype(np.int64),
        test_images=x_test,
        test_labels=y_test.astype(np.int64),
        class_names=tuple(str(label) for label in range(num_classes)),
        largest=255 if x_train.dtype == np.uint8 else 0,
    )
