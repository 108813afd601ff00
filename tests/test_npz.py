"""A user's own arrays: what they mean is decided from all of them, and what cannot be meant is one line."""

import gzip
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sweep.datasets import load_dataset
from sweep.errors import DatasetError

GENERATOR = np.random.default_rng(0)
LABELS = np.arange(60) % 3
STANDARD = GENERATOR.normal(size=(60, 5)).astype(np.float32)
PIXELS = GENERATOR.integers(0, 256, size=(60, 4, 4)).astype(np.uint8)


def write(folder: Path, x_train: Any = STANDARD, x_test: Any = None, **arrays: Any) -> str:
    """Writes an `.npz` file of 40 training and 20 test images, and gives its path."""
    x_test = x_train[40:] if x_test is None else x_test
    x_train = x_train[:40] if len(x_train) == 60 else x_train
    np.savez(
        folder / "d.npz",
        **{"x_train": x_train, "y_train": LABELS[:40], "x_test": x_test, "y_test": LABELS[40:]} | arrays,
    )
    return str(folder / "d.npz")


def refusal(file: str) -> str:
    with pytest.raises(DatasetError) as caught:
        load_dataset(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pixels_are_scaled_and_other_numbers_are_taken_as_they_are(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, PIXELS))
    expected = (PIXELS[40:].reshape(20, 16) / np.float32(255) - 0.5) / 0.5
    np.testing.assert_array_equal(dataset.test.images, expected.astype(np.float32))
    assert dataset.record.values == "uint8 from 0 to 255, scaled from 0..255 to -1..1"
    dataset = load_dataset(write(tmp_path))
    np.testing.assert_array_equal(dataset.test.images, STANDARD[40:])
    assert dataset.record.values.startswith("float32 from -")
    assert dataset.record.doubts == ()


@pytest.mark.parametrize(
    ("x_train", "x_test"),
    [
        (PIXELS, (PIXELS / 255).astype(np.float32)),
        ((PIXELS / 255).astype(np.float32), PIXELS),
        (PIXELS.astype(np.float32), (PIXELS / 255).astype(np.float32)),
        ((PIXELS / 255.0), PIXELS.astype(np.float64)),
        (PIXELS, PIXELS.astype(np.int16)),
        (PIXELS.astype(np.int64), PIXELS),
        (PIXELS.astype(np.int32), PIXELS.astype(np.float32)),
        (PIXELS, (PIXELS > 127).astype(np.uint8)),
        (PIXELS // 16 / 1.0, PIXELS / 255),
        (STANDARD, 1000 * STANDARD),
    ],
)
def test_training_and_test_images_of_unlike_type_or_range_are_refused(
    tmp_path: Path, x_train: np.ndarray, x_test: np.ndarray
) -> None:
    line = refusal(write(tmp_path, x_train, x_test[40:]))
    assert "x_train is " in line
    assert "scaled alike" in line


@pytest.mark.parametrize("types", [("f4", "f8"), ("f2", "f4"), (">f4", "<f8"), ("i4", "i8"), (">i2", "i1")])
def test_numbers_of_one_kind_may_have_other_sizes_and_byte_orders(tmp_path: Path, types: tuple[str, str]) -> None:
    values = np.round(3 * STANDARD)
    dataset = load_dataset(write(tmp_path, values.astype(types[0]), values[40:].astype(types[1])))
    np.testing.assert_array_equal(dataset.train.images, values[:40])
    np.testing.assert_array_equal(dataset.test.images, values[40:])
    assert dataset.train.images.dtype == dataset.test.images.dtype == np.float32
    assert dataset.train.images.dtype.isnative


@pytest.mark.parametrize("seed", range(20))
def test_two_samples_of_one_distribution_raise_neither_error_nor_doubt(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    outliers = rng.normal(size=(240, 8))
    outliers[3, 2] = 45
    for images in (
        rng.normal(size=(240, 1)),
        rng.standard_t(3, size=(240, 8)).clip(-49, 49),
        rng.exponential(size=(240, 1)),
        outliers,
        (rng.random((240, 64)) < 0.05).astype(np.float64),
        (rng.random((240, 500)) < 0.004).astype(np.int64),
        rng.integers(0, 2, size=(240, 3)),
        rng.random((240, 4, 4, 3)),
        (255 * rng.random((240, 10)) ** 6).astype(np.uint8),
    ):
        labels = np.arange(len(images)) % 2
        for test in (4, 20, 120):
            arrays = {"y_train": labels[test:], "y_test": labels[:test]}
            assert load_dataset(write(tmp_path, images[test:], images[:test], **arrays)).record.doubts == ()


@pytest.mark.parametrize(
    ("train", "test", "word"),
    [
        ((-1.0, 1.0), (0.0, 1.0), "scaled alike"),
        ((0.0, 1.0), (-1.0, 1.0), "scaled alike"),
        ((0.0, 1.0), (3.0, 4.0), "scaled alike"),
        ((0.0, 100.0), (0.0, 100.0), "unscaled"),
        ((0.0, 1e-5), (0.0, 1e-5), "unscaled"),
        ((1900.0, 2000.0), (1900.0, 2000.0), "unscaled"),
        ((0.0, 1.0), (0.0, 0.0), "all test values"),
        ((1.0, 1.0), (1.0, 1.0), "all training values"),
    ],
)
def test_values_that_look_wrong_but_may_be_meant_are_doubted(
    tmp_path: Path, train: tuple[float, float], test: tuple[float, float], word: str
) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    file = write(tmp_path, rng.uniform(*train, (120, 6)), rng.uniform(*test, (120, 6)), y_train=labels, y_test=labels)
    (doubt,) = load_dataset(file).record.doubts
    assert word in doubt


def test_bytes_that_are_no_pixels_are_doubted(tmp_path: Path) -> None:
    (doubt,) = load_dataset(write(tmp_path, PIXELS // 16)).record.doubts
    assert "none is above 15" in doubt


def test_classes_that_a_split_lacks_are_named(tmp_path: Path) -> None:
    y_test = np.where(LABELS[40:] == 2, 0, LABELS[40:])
    record = load_dataset(write(tmp_path, y_test=y_test)).record
    assert record.target_counts == {"train": [14, 13, 13], "validation": [0, 0, 0], "test": [13, 7, 0]}
    (doubt,) = record.doubts
    assert doubt.startswith("class 2 has no test images")
    np.savez(
        tmp_path / "d.npz", x_train=STANDARD, y_train=np.arange(60) // 6, x_test=-STANDARD, y_test=np.arange(60) // 6
    )
    doubts = load_dataset(str(tmp_path / "d.npz"), validation_size=3).record.doubts
    assert doubts[0].startswith("classes 3, 4, 5, 6, 7 and 2 more have no validation images")


def test_test_images_that_are_training_images_are_counted(tmp_path: Path) -> None:
    x_test = np.concatenate([STANDARD[:9], STANDARD[40:51]])
    (doubt,) = load_dataset(write(tmp_path, STANDARD, x_test.astype(np.float64))).record.doubts
    assert doubt.startswith("9 of 20 test images are training images")


@pytest.mark.parametrize(
    ("images", "word"),
    [
        (1e39 * STANDARD.astype(np.float64), "float32"),
        (1e25 * STANDARD.astype(np.float64), "float32"),
        (np.where(STANDARD > 1, np.nan, STANDARD), "NaN or infinite"),
        (np.where(STANDARD > 1, -np.inf, STANDARD), "NaN or infinite"),
        (STANDARD > 0, "bool"),
        (STANDARD.astype(np.complex64), "complex64"),
        (STANDARD.astype(str), "not numbers"),
        (np.zeros((60, 5), dtype="datetime64[s]"), "not numbers"),
        (STANDARD.astype(object), "allow_pickle"),
        (STANDARD[:, 0], "shape (40,)"),
        (STANDARD[:, :0], "shape (40, 0)"),
        (np.zeros((0, 5)), "shape (0, 5)"),
        (np.float32(1.0) * np.zeros(()), "shape ()"),
    ],
)
def test_images_that_are_no_numbers_a_model_could_take_are_one_line(
    tmp_path: Path, images: np.ndarray, word: str
) -> None:
    x_test = images[40:] if images.ndim and len(images) else images
    line = refusal(write(tmp_path, images, x_test)) if images.ndim else refusal(write(tmp_path, STANDARD, images))
    assert word in line
    assert "d.npz" in line


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (LABELS[:40].astype(np.float64), "float64"),
        (LABELS[:40] > 0, "bool"),
        (LABELS[:40].astype(str), "<U21"),
        (LABELS[:40, None], "ravel()"),
        (np.eye(3)[LABELS[:40]], "the column of the 1"),
        (np.eye(3, dtype=np.int64)[LABELS[:40]], "the column of the 1"),
        (LABELS[:39], "39 for 40 images"),
        (LABELS[:40] + 1, "0 is not there"),
        (LABELS[:40] * 2, "1 is not there"),
        (LABELS[:40] - 1, "-1"),
        (10**12 * LABELS[:40], "1 is not there"),
        (0 * LABELS[:40], "at least two"),
        (np.int64(1), "shape is ()"),
        (LABELS[:0], "0 for 40 images"),
    ],
)
def test_labels_that_number_no_classes_are_one_line(tmp_path: Path, labels: np.ndarray, word: str) -> None:
    line = refusal(write(tmp_path, y_train=labels))
    assert "y_train" in line
    assert word in line


def test_a_test_label_without_training_images_is_named(tmp_path: Path) -> None:
    assert "the label 7" in refusal(write(tmp_path, y_test=np.where(LABELS[40:] == 2, 7, LABELS[40:])))


def test_images_of_other_sizes_are_one_line(tmp_path: Path) -> None:
    assert "images of x_train are (5,), those of x_test (4,)" in refusal(write(tmp_path, x_test=STANDARD[40:, :4]))


def test_missing_arrays_are_named_with_those_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / "d.npz"
    np.savez(file, x_train=STANDARD, y_train=LABELS, X_test=STANDARD)
    assert "has no array x_test, y_test (it has x_train, y_train, X_test)" in refusal(str(file))
    np.savez(file)
    assert "(it has none)" in refusal(str(file))
    np.savez(file, *[LABELS] * 30)
    assert len(refusal(str(file))) < 300


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _damaged(content: bytes) -> bytes:
    middle = len(content) // 8
    return content[:middle] + bytes(8) + content[middle + 8 :]


def _npy(content: bytes) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, STANDARD)
    return buffer.getvalue()


def _zip_of_texts(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", "1 2 3")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "change", [_truncated, _damaged, gzip.compress, _npy, _zip_of_texts, lambda _: b"", lambda _: b"1,2,3\n4,5,6\n"]
)
def test_a_file_that_is_no_whole_npz_is_one_line(tmp_path: Path, change: Any) -> None:
    file = Path(write(tmp_path))
    file.write_bytes(change(file.read_bytes()))
    assert str(file) in refusal(str(file))


def test_an_array_larger_than_memory_is_one_line(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)})
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
        for name in ("y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", header.getvalue())
    assert "cannot read" in refusal(str(tmp_path / "d.npz"))


def test_a_place_without_a_readable_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    assert "directory" in refusal(str(tmp_path / "folder.npz"))
    assert "No such file" in refusal(str(tmp_path / "missing.npz"))
    os.symlink("loop.npz", tmp_path / "loop.npz")
    assert "cannot read" in refusal(str(tmp_path / "loop.npz"))


def test_the_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    file = Path(write(tmp_path)).rename(tmp_path / "D.NPZ")
    assert load_dataset(str(file)).record.test_size == 20


def arrays(types: list[str], **shapes: int) -> st.SearchStrategy[np.ndarray]:
    def of(name: str) -> st.SearchStrategy[np.ndarray]:
        # Numbers so small that a process which has trained flushes them to zero cannot be drawn there.
        options = {"allow_subnormal": False} if np.dtype(name).kind in "fc" else {}
        elements = hnp.from_dtype(np.dtype(name), **options)
        return hnp.arrays(dtype=name, shape=hnp.array_shapes(min_side=0, max_side=7, **shapes), elements=elements)

    return st.sampled_from(types).flatmap(of)


IMAGES = arrays(["u1", "i1", "i2", "u8", "f2", "f4", "f8", ">f4", "?", "c8", "U2"], min_dims=0, max_dims=3)
CLASSES = arrays(["u1", "i8", "f4", "?", "u8"], min_dims=1, max_dims=2)


@given(x_train=IMAGES, y_train=CLASSES, x_test=IMAGES, y_test=CLASSES, size=st.integers(0, 4))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_arrays_there_are_they_are_read_as_finite_numbers_or_refused_in_one_line(
    tmp_path: Path, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, size: int
) -> None:
    file = tmp_path / "any.npz"
    np.savez(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    line = ""
    try:
        dataset = load_dataset(str(file), validation_size=size)
    except DatasetError as error:
        line = str(error)
    else:
        for split in (dataset.train, dataset.validation, dataset.test):
            assert np.isfinite(split.images).all()
        assert np.bincount(dataset.train.labels).min() > 0
    assert "\n" not in line
