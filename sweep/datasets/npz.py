"""A user's own arrays. What they mean is decided here, once, from all of them; what cannot be meant is refused."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.raw import Raw, brief, few
from sweep.errors import DatasetError

_NAMES = ("x_train", "y_train", "x_test", "y_test")
# Beyond it, the square of a number is none that float32 has, and Adam squares gradients.
_LARGEST = float(np.sqrt(np.finfo(np.float32).max))
# Typical values of two splits that were scaled alike differ by far less, and pixels as 0..16 or 0..255 and as 0..1 by
# more.
_SCALED_ALIKE = 8.0


def read_npz(file: str) -> Raw:
    """Reads the arrays x_train, y_train, x_test and y_test of an `.npz` file.

    uint8 values are pixels, scaled from 0..255; other numbers are taken as they are. So both arrays of images must be
    of one kind (uint8, other whole numbers, or fractions), and their typical values of one size: the mean of |x| where
    x is not 0 may differ by a factor of 8.

    Raises:
        DatasetError: if it cannot be read, or does not hold such images and labels.
    """
    x_train, y_train, x_test, y_test = _arrays(file)
    for split, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        problem = _problem_of_images(images)
        if problem:
            raise DatasetError(f"{file}: x_{split} {problem}")
        problem = _problem_of_labels(labels, len(images))
        if problem:
            raise DatasetError(f"{file}: y_{split} {problem}")
    if problem := _problem_of_both(x_train, x_test) or _problem_of_classes(y_train, y_test):
        raise DatasetError(f"{file}: {problem}")
    return Raw(
        train_images=x_train,
        train_labels=y_train.astype(np.int64),
        test_images=x_test,
        test_labels=y_test.astype(np.int64),
        target_names=tuple(str(label) for label in range(int(y_train.max()) + 1)),
        largest=255 if x_train.dtype == np.uint8 else 0,
    )


def _arrays(file: str) -> list[NDArray[np.generic]]:
    names: list[str] = []
    arrays: dict[str, NDArray[np.generic]] = {}
    try:
        with Path(file).open("rb") as stream:
            is_archive = zipfile.is_zipfile(stream)
        if is_archive:
            with np.load(file, allow_pickle=False) as found:
                names = list(found.files)
                arrays = {name: found[name] for name in _NAMES if name in names}
    except OSError as error:
        raise DatasetError(f"cannot read {file}: {error.strerror or brief(error)}") from error
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise DatasetError(f"cannot read {file} ({brief(error)}); give an .npz file of plain arrays") from error
    if not is_archive:
        raise DatasetError(f"cannot read {file}: it is no .npz file, or cut short; write one with numpy.savez")
    if lacking := [name for name in _NAMES if name not in names]:
        has = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        raise DatasetError(
            f"{file} has no array {', '.join(lacking)} (it has {has or 'none'}); it needs {', '.join(_NAMES)}"
        )
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DatasetError(f"{file}: {name} is no array of numpy's; write the file with numpy.savez")
    return [arrays[name] for name in _NAMES]


def _problem_of_images(images: NDArray[np.generic]) -> str:
    if images.dtype.kind not in "iuf":
        return f"holds {images.dtype}, not numbers; give uint8 pixels or float32"
    if images.ndim < 2 or not images.size:
        return f"has the shape {images.shape}; give one or more images along the first axis, values along the others"
    if not_finite := int((~np.isfinite(images)).sum()):
        return f"must hold finite numbers, but {not_finite:,} are NaN or infinite; fill them in or leave them out"
    if (largest := max(float(images.max()), -float(images.min()))) > _LARGEST:
        return f"has a value of {largest:.3g}, too large to stay finite in float32 while training; scale the values"
    return ""


def _problem_of_labels(labels: NDArray[np.generic], num_images: int) -> str:
    needed = "must hold one whole number for each image"
    if labels.ndim == 2 and labels.shape[1] > 1:
        return f"{needed}, not a row of {labels.shape[1]}; if they are one-hot, give their argmax(axis=1)"
    if labels.ndim != 1:
        return f"{needed}, along one axis; its shape is {labels.shape}, give its ravel()"
    if labels.dtype.kind not in "iu":
        return f"{needed}, but holds {labels.dtype}; number the classes 0, 1, ... as integers"
    if len(labels) != num_images:
        return f"{needed}; it has {len(labels):,} for {num_images:,} images"
    return ""


def _problem_of_both(x_train: NDArray[np.generic], x_test: NDArray[np.generic]) -> str:
    if x_train.shape[1:] != x_test.shape[1:]:
        return f"images of x_train are {x_train.shape[1:]}, those of x_test {x_test.shape[1:]}"
    kinds = [("pixels" if images.dtype == np.uint8 else images.dtype.kind) for images in (x_train, x_test)]
    if kinds[0] != kinds[1]:
        return (
            f"x_train is {x_train.dtype} and x_test {x_test.dtype}, so they would not be scaled alike; give both the "
            "same type and range"
        )
    sizes = [_typical_size(images) for images in (x_train, x_test)]
    if max(sizes) > _SCALED_ALIKE * min(sizes) > 0:
        ranges = [f"from {images.min():.6g} to {images.max():.6g}" for images in (x_train, x_test)]
        return f"x_train is {ranges[0]} and x_test {ranges[1]}, not scaled alike; scale both in the same way"
    return ""


def _typical_size(images: NDArray[np.generic]) -> float:
    """Mean of |x| where x is not 0: neither a single outlier nor how sparse the data are moves it much."""
    values = np.abs(few(images).astype(np.float64))
    return float(values.sum() / max(np.count_nonzero(values), 1))


def _problem_of_classes(y_train: NDArray[np.generic], y_test: NDArray[np.generic]) -> str:
    classes = np.unique(y_train)
    gaps = np.flatnonzero(classes != np.arange(len(classes)))
    if len(gaps):
        lacking = f"it has {classes[0]}" if classes[0] < 0 else f"{gaps[0]} is not there, {classes[gaps[0]]} is"
        return f"y_train must hold the labels 0, 1, ... without gaps; {lacking}"
    if len(classes) < 2:
        return "y_train must hold at least two labels, 0 and 1; it has one"
    strange = np.setdiff1d(y_test, classes)
    if len(strange):
        return f"y_test has the label {strange[0]}, which y_train does not have; give training images of every class"
    return ""
