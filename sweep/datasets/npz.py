"""A user's own arrays. What they mean is decided here, once, from all of them; what cannot be meant is refused."""

import zipfile

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.raw import Raw, Split, few
from sweep.errors import DatasetError, reason

Array = NDArray[np.generic]

_NAMES = ("x_train", "y_train", "x_test", "y_test")
# Beyond it, the square of a number is none that float32 has, and Adam squares gradients.
_LARGEST = float(np.sqrt(np.finfo(np.float32).max))
# Typical values of two splits that were scaled alike differ by far less; pixels as 0..16 and as 0..1 by more.
_SCALED_ALIKE = 8.0


def read_npz(file: str) -> Raw:
    """Reads the arrays x_train, y_train, x_test and y_test (whole numbers from 0) of an `.npz` file.

    uint8 values are pixels, scaled from 0..255; other numbers are taken as they are. So both arrays of images must be
    of one kind (uint8, other whole numbers, or fractions), and their typical values of one size: the mean of |x| where
    x is not 0 may differ by a factor of 8. Anything else is a DatasetError.
    """
    x_train, y_train, x_test, y_test = _arrays(file)
    problem = (
        _problem_of_split("train", x_train, y_train)
        or _problem_of_split("test", x_test, y_test)
        or _problem_of_both(x_train, x_test)
        or _problem_of_classes(y_train, y_test)
    )
    if problem:
        raise DatasetError(f"{file}: {problem}")
    return Raw(
        train=Split(images=x_train, labels=y_train.astype(np.int64)),
        test=Split(images=x_test, labels=y_test.astype(np.int64)),
        target_names=tuple(str(label) for label in range(int(y_train.max()) + 1)),
        largest=255 if x_train.dtype == np.uint8 else 0,
    )


def _arrays(file: str) -> list[Array]:
    try:
        with zipfile.ZipFile(file), np.load(file, allow_pickle=False) as found:  # the first says what is no archive
            names = list(found.files)
            arrays = [found[name] for name in _NAMES if name in names]
        if not all(isinstance(array, np.ndarray) for array in arrays):
            raise TypeError("one of its arrays is none of numpy's")
    except Exception as error:  # the file system, zipfile, zlib and numpy each raise their own
        raise DatasetError(
            f"cannot read {file} ({reason(error)}); give an .npz file of plain arrays, as numpy.savez writes it"
        ) from error
    if lacking := [name for name in _NAMES if name not in names]:
        has = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        raise DatasetError(
            f"{file} has no array {', '.join(lacking)} (it has {has or 'none'}); it needs {', '.join(_NAMES)}"
        )
    return arrays


def _problem_of_split(split: str, images: Array, labels: Array) -> str:
    x, needed = f"x_{split}", f"y_{split} must hold one whole number for each image"
    if images.dtype.kind not in "iuf":
        return f"{x} holds {images.dtype}, not numbers; give uint8 pixels or float32"
    if images.ndim < 2 or not images.size:
        return (
            f"{x} has the shape {images.shape}; give one or more images along the first axis, values along the others"
        )
    if not_finite := int((~np.isfinite(images)).sum()):
        return f"{x} must hold finite numbers, but {not_finite:,} are NaN or infinite; fill them in or leave them out"
    if (largest := max(float(images.max()), -float(images.min()))) > _LARGEST:
        return f"{x} has a value of {largest:.3g}, too large to stay finite in float32 while training; scale the values"
    if labels.ndim == 2 and labels.shape[1] > 1:
        return f"{needed}, not a row of {labels.shape[1]}; if they are one-hot, give the column of the 1 in each row"
    if labels.ndim != 1:
        return f"{needed}, along one axis; its shape is {labels.shape}, give its ravel()"
    if labels.dtype.kind not in "iu":
        return f"{needed}, but holds {labels.dtype}; number the classes 0, 1, ... as integers"
    if len(labels) != len(images):
        return f"{needed}; it has {len(labels):,} for {len(images):,} images"
    return ""


def _problem_of_both(x_train: Array, x_test: Array) -> str:
    if x_train.shape[1:] != x_test.shape[1:]:
        return f"images of x_train are {x_train.shape[1:]}, those of x_test {x_test.shape[1:]}"
    kinds = {"pixels" if images.dtype == np.uint8 else images.dtype.kind for images in (x_train, x_test)}
    if len(kinds) > 1:
        types = f"x_train is {x_train.dtype} and x_test {x_test.dtype}"
        return f"{types}, so they would not be scaled alike; give both the same type and range"
    sizes = [_typical_size(images) for images in (x_train, x_test)]
    if max(sizes) > _SCALED_ALIKE * min(sizes) > 0:
        ranges = [f"from {images.min():.6g} to {images.max():.6g}" for images in (x_train, x_test)]
        return f"x_train is {ranges[0]} and x_test {ranges[1]}, not scaled alike; scale both in the same way"
    return ""


def _typical_size(images: Array) -> float:
    """Mean of |x| where x is not 0: neither a single outlier nor how sparse the data are moves it much."""
    values = np.abs(few(images))
    return float(values.sum() / max(np.count_nonzero(values), 1))


def _problem_of_classes(y_train: Array, y_test: Array) -> str:
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
