"""Small data sets as a user could have them, written to files."""

from pathlib import Path

import numpy as np


def write_npz(file: Path, *, seed: int = 0, separation: float = 0.0) -> Path:
    """Writes 60 training and 60 test images of 3 values in 3 classes, whose means are `separation` apart."""
    labels = np.arange(60) % 3
    generator = np.random.default_rng(seed)
    x_train, x_test = (generator.normal(size=(60, 3)) + separation * np.eye(3)[labels] for _ in range(2))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        np.savez(stream, x_train=x_train, y_train=labels, x_test=x_test, y_test=labels)
    return file


def write_idx_files(folder: Path) -> None:
    """Writes 40 training and 20 test images in torchvision's layout, under the name of Fashion-MNIST."""
    (folder / "FashionMNIST" / "raw").mkdir(parents=True)
    for prefix, count in (("train", 40), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.repeat(25 * labels, 4).reshape(count, 2, 2) + np.uint8(count)
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = np.array(values.shape, dtype=">u4").tobytes()
            file = folder / "FashionMNIST" / "raw" / f"{prefix}-{kind}-ubyte"
            file.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes())
