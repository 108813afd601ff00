import lzma
import threading
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from sklearn.datasets import load_digits

from sweep.datasets import load_dataset, validation_indices
from sweep.datasets.idx import unpack
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
    assert dataset.class_names == tuple("0123456789")
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


def test_a_broken_file_in_the_cache_is_unpacked_again(cache: Path) -> None:
    expected = load_dataset("mnist").sha256
    file = cache / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    assert load_dataset("mnist").sha256 == expected


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
        assert dataset.class_names == tuple(title.split(" - ")[0] for title in expected.classes)


def test_a_truncated_idx_file_is_one_line(tmp_path: Path, cache: Path) -> None:
    load_dataset("mnist", data_dir=str(tmp_path))
    (tmp_path / "MNIST").rename(tmp_path / "KMNIST")
    file = tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(DatasetError, match=r"a file in .*KMNIST/raw is broken") as caught:
        load_dataset("kmnist", data_dir=str(tmp_path))
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
    assert dataset.image_shape == (8, 8)


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


@pytest.mark.parametrize("size", [-1, 1788, 10_000])
def test_a_validation_split_that_leaves_nothing_is_refused(size: int) -> None:
    with pytest.raises(DatasetError, match=r"choose at most \d+"):
        load_dataset("digits", validation_size=size)


def test_a_users_own_arrays_are_read(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    file = tmp_path / "mine.npz"
    x = generator.normal(size=(60, 5)).astype(np.float32)
    np.savez(file, x_train=x[:40], y_train=np.arange(40) % 3, x_test=x[40:], y_test=np.arange(20) % 3)
    dataset = load_dataset(str(file), validation_size=6)
    assert (dataset.image_shape, dataset.class_names) == ((5,), ("0", "1", "2"))
    np.testing.assert_array_equal(dataset.test.images, x[40:])
    assert np.bincount(dataset.validation.labels).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.zeros((4, 2))}, "has no array"),
        ({"y_train": np.array([0, 1, 3, 1])}, "without gaps"),
        ({"y_train": np.array([0.0, 1.0, 0.0, 1.0])}, "one whole number for each image"),
        ({"y_train": np.array([0, 1])}, "one whole number for each image"),
        ({"x_train": np.full((4, 2), np.nan)}, "finite numbers"),
        ({"x_test": np.zeros((2, 3))}, "images of x_train are"),
    ],
)
def test_a_users_wrong_arrays_are_one_line(tmp_path: Path, arrays: dict, message: str) -> None:
    right = {
        "x_train": np.zeros((4, 2)),
        "y_train": np.array([0, 1, 0, 1]),
        "x_test": np.zeros((2, 2)),
        "y_test": np.array([0, 1]),
    }
    file = tmp_path / "wrong.npz"
    np.savez(file, **({"x_train": right["x_train"]} if message == "has no array" else {**right, **arrays}))
    with pytest.raises(DatasetError) as caught:
        load_dataset(str(file))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_npz_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.npz").write_bytes(b"not a zip")
    for name in ("no.npz", "missing.npz"):
        with pytest.raises(DatasetError, match="cannot read"):
            load_dataset(str(tmp_path / name))
