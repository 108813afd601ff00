"""The 8x8 digits, which come with the package."""

from pathlib import Path

import numpy as np

from sweep.datasets.raw import DIGITS, Raw, validation_indices

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
        target_names=DIGITS,
        largest=16,
    )
