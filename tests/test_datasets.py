import hashlib
import lzma
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import write_idx_files
from sklearn.datasets import load_digits

from sweep.datasets import data_files, file_states, load_dataset, validation_indices
from sweep.datasets.builtin import unpack
from sweep.errors import DatasetError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sweep"


def test_mnist_is_unpacked_once_and_split_as_asked(cache: Path) -> None:
    dataset = load_dataset("mnist", validation_size=5000)
    assert (len(dataset.train.labels), len(dataset.validation.labels), len(dataset.test.labels)) == (
        55_000,
        5_000,
        10_000,
    )
    assert dataset.train.images.shape == (55_000, 784)
    assert dataset.train.images.dtype == np.float32
    assert (dataset.train.images.min(), dataset.train.images.max()) == (-1.0, 1.0)
    assert dataset.target_names == tuple("0123456789")
    # The first test image of MNIST is a 7; its class counts are published with it.
    assert dataset.test.labels[0] == 7
    assert np.bincount(dataset.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # Pixels and floats are the same images.
    np.testing.assert_array_equal(
        dataset.test.images[0], (dataset.test_pixels[0].ravel() / np.float32(255) - 0.5) / 0.5
    )
    assert sorted(file.name for file in (cache / "MNIST" / "raw").iterdir()) == [
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
    ]


@pytest.mark.slow
def test_several_threads_unpack_at_once_and_all_read_whole_files(cache: Path) -> None:
    hashes: list[str] = []
    threads = [threading.Thread(target=lambda: hashes.append(load_dataset("mnist").sha256)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 3
    assert len(set(hashes)) == 1


@pytest.mark.slow
def test_a_broken_file_in_the_cache_is_unpacked_again(cache: Path) -> None:
    expected = load_dataset("mnist").sha256
    file = cache / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    assert load_dataset("mnist").sha256 == expected


@pytest.mark.slow
def test_a_broken_file_of_the_user_is_named_with_its_hash_and_left_alone(tmp_path: Path) -> None:
    load_dataset("mnist", data_dir=str(tmp_path))
    file = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte is broken: its SHA-256 is not ff7bcfd4"):
        load_dataset("mnist", data_dir=str(tmp_path))
    assert file.stat().st_size == 10_007


def test_a_truncated_packed_file_is_named_with_its_hash() -> None:
    packed = lzma.compress(b"pixels" * 1000)
    with pytest.raises(
        DatasetError, match=r"some\.xz is broken: unpacked, its SHA-256 is not abc; install sweep again"
    ):
        unpack(packed[: len(packed) // 2], "some.xz", "abc")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files_are_read_as_torchvision_reads_them(tmp_path: Path, name: str, kind: str) -> None:
    # The four IDX files of MNIST stand in for those of the others, which have the same format and sizes.
    load_dataset("mnist", data_dir=str(tmp_path))
    if kind != "MNIST":
        (tmp_path / "MNIST").rename(tmp_path / kind)
    dataset = load_dataset(name, data_dir=str(tmp_path))
    for split, train in ((dataset.train, True), (dataset.test, False)):
        expected = getattr(torchvision.datasets, kind)(tmp_path, train=train)
        assert np.array_equal(split.labels, expected.targets.numpy())
        pixels = np.rint((split.images + 1) * 127.5).astype(np.uint8)
        assert np.array_equal(pixels, expected.data.numpy().reshape(len(pixels), -1))
        assert dataset.target_names == tuple(title.split(" - ")[0] for title in expected.classes)


def test_a_truncated_idx_file_is_one_line(tmp_path: Path, cache: Path) -> None:
    load_dataset("mnist", data_dir=str(tmp_path))
    (tmp_path / "MNIST").rename(tmp_path / "KMNIST")
    file = tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(DatasetError, match=r"a file in .*KMNIST/raw is broken") as caught:
        load_dataset("kmnist", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("t10k-labels-idx1-ubyte", lambda content: content[:-1] + bytes([10])),
        ("t10k-images-idx3-ubyte", lambda content: content[:11] + bytes([4, 0, 0, 0, 1]) + content[16:]),
        ("t10k-labels-idx1-ubyte", lambda content: content[:7] + bytes([19]) + content[8:-1]),
        ("train-labels-idx1-ubyte", lambda content: b"<html>"),
        ("train-labels-idx1-ubyte", lambda content: content[:3]),
    ],
)
def test_idx_files_that_do_not_belong_together_are_one_line(
    tmp_path: Path, file: str, change: Callable[[bytes], bytes]
) -> None:
    write_idx_files(tmp_path)
    place = tmp_path / "FashionMNIST" / "raw" / file
    place.write_bytes(change(place.read_bytes()))
    with pytest.raises(DatasetError, match=r"a file in .*FashionMNIST/raw is broken") as caught:
        load_dataset("fashion_mnist", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_digits_are_those_of_scikit_learn() -> None:
    expected, dataset = load_digits(), load_dataset("digits")
    test = validation_indices(expected.target, 360)
    train = np.setdiff1d(np.arange(len(expected.target)), test)
    for split, places in ((dataset.train, train), (dataset.test, test)):
        assert np.array_equal(split.images, expected.data[places].astype(np.float32) / 8 - 1)
        assert np.array_equal(split.labels, expected.target[places])


def test_digits_are_split_in_a_fixed_way() -> None:
    dataset = load_dataset("digits", validation_size=200)
    assert (len(dataset.train.labels), len(dataset.validation.labels), len(dataset.test.labels)) == (1237, 200, 360)
    assert dataset.sha256 == load_dataset("digits").sha256
    assert dataset.record.input_shape == (8, 8)


def test_the_hash_is_that_of_the_images_whatever_the_split(cache: Path) -> None:
    assert load_dataset("mnist", validation_size=5000).sha256 == load_dataset("mnist").sha256
    assert load_dataset("mnist").sha256 != load_dataset("digits").sha256


def test_validation_indices_worked_out_by_hand() -> None:
    # 6 of class 0, 3 of class 1; of 4 validation images class 0 gives 2.67 -> 3, class 1 gives 1.33 -> 1.
    labels = np.array([0, 1, 0, 0, 1, 0, 0, 1, 0])
    assert validation_indices(labels, 4).tolist() == [0, 1, 3, 6]
    assert validation_indices(labels, 0).tolist() == []


def test_validation_split_is_stratified_and_apart_from_training() -> None:
    labels = np.repeat(np.arange(10), [100, 90, 110, 100, 95, 105, 100, 100, 120, 80])
    chosen = validation_indices(labels, 137)
    assert len(chosen) == len(set(chosen.tolist())) == 137
    shares = np.bincount(labels[chosen]) / np.bincount(labels)
    assert np.abs(shares - 0.137).max() < 0.0126  # within one image of each class


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist", {1: "35be322d", 137: "89dff732", 5000: "a41730ea", 10_000: "3753f0fd", 59_990: "c4645041"}),
        ("digits", {1: "35be322d", 137: "f9bc80c6", 200: "a0876956", 400: "88fd4bfd", 1300: "440c7225"}),
    ],
)
def test_the_split_of_the_built_in_sets_stays_bit_for_bit(name: str, expected: dict[int, str]) -> None:
    labels = load_dataset(name).train.labels
    hashes = {
        size: hashlib.sha256(validation_indices(labels, size).astype("<i8").tobytes()).hexdigest()[:8]
        for size in expected
    }
    assert hashes == expected


@pytest.mark.parametrize("size", [-1, 1428, 1788, 10_000])
def test_a_validation_split_that_leaves_nothing_is_refused(size: int) -> None:
    with pytest.raises(DatasetError, match="such as 1427" if size > 0 else "such as 0"):
        load_dataset("digits", validation_size=size)
    assert len(load_dataset("digits", validation_size=1427).train.labels) == 10


@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(0, 150))
@settings(deadline=None)
def test_every_class_keeps_a_training_image_or_a_size_that_keeps_one_is_named(counts: list[int], size: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)

    def left(size: int) -> int:
        return int(np.bincount(np.delete(labels, validation_indices(labels, size)), minlength=len(counts)).min())

    named = size
    try:
        assert left(size) > 0
    except DatasetError as refused:
        named = int(re.findall(r"such as (\d+)", str(refused))[0])
        assert named < size
    assert left(named) > 0


def test_the_only_training_image_of_a_class_is_not_taken() -> None:
    labels = np.array([0] * 100 + [1])
    assert 100 not in validation_indices(labels, 50)
    with pytest.raises(DatasetError, match="validation_size is 99, which leaves a class without training images"):
        validation_indices(labels, 99)


def test_built_in_sets_are_described_and_not_doubted() -> None:
    record = load_dataset("mnist", validation_size=5000).record
    assert record.values == "uint8 from 0 to 255, scaled from 0..255 to -1..1"
    assert record.target_counts["train"][:2] == [5429, 6180]
    assert [sum(counts) for counts in record.target_counts.values()] == [55_000, 5_000, 10_000]
    assert (record.doubts, load_dataset("digits", validation_size=200).record.doubts) == ((), ())
    (doubt,) = load_dataset("digits", validation_size=7).record.doubts
    assert doubt.startswith("classes 0, 2, 8 have no validation images")


def test_files_that_could_change_are_known_by_size_and_times(tmp_path: Path) -> None:
    assert load_dataset("digits").record.files == load_dataset("mnist").record.files == {}
    write_idx_files(tmp_path)
    found = load_dataset("fashion_mnist", data_dir=str(tmp_path)).record.files
    assert sorted(found) == sorted(map(str, (tmp_path / "FashionMNIST" / "raw").iterdir()))
    assert data_files("mnist", data_dir="here")[0] == Path("here/MNIST/raw/train-images-idx3-ubyte")
    file = tmp_path / "d.npz"
    file.write_bytes(b"one")
    before = file_states([file, tmp_path / "missing"])
    assert list(before) == [str(file)]
    file.write_bytes(b"two")
    os.utime(file, ns=(0, int(before[str(file)].split()[1])))
    assert file_states([file]) != before  # though of the same size and time of writing
