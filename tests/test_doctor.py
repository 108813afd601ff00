"""What would stop a sweep is found out, each in one line."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from own_data import write_idx_files, write_npz

from sweep.config import SweepConfig, load_sweep
from sweep.datasets import file_states, load_dataset
from sweep.doctor import (
    Finding,
    check_dataset,
    check_space,
    check_versions,
    compare_data,
    describe_classes,
    examine,
    find_data_file,
)
from sweep.errors import DatasetError, ExperimentError, StorageError
from sweep.plan import make_manifest
from sweep.records import Experiment, Manifest
from sweep.storage import LocalStorage


@pytest.fixture
def manifest() -> Manifest:
    sweep = load_sweep("smoke")
    dataset = load_dataset("digits", validation_size=200)
    return make_manifest(sweep, dataset, name="smoke", command="")


def checked(tmp_path: Path, *overrides: str) -> dict[str, Finding]:
    found = list(examine(load_sweep("smoke", overrides), LocalStorage(tmp_path / "new"), name="smoke"))
    assert all("\n" not in str(finding) for finding in found)
    return {finding.check: finding for finding in found}


def test_sweep_that_can_run_passes_every_check_and_nothing_is_written(tmp_path: Path) -> None:
    findings = checked(tmp_path)
    assert list(findings) == [
        "versions",
        "Ray",
        "resources",
        "data set",
        "engine",
        "products",
        "classes",
        "storage",
        "space",
        "report",
    ]
    assert all(finding.ok for finding in findings.values())
    assert "SHA-256 eb07a083b60951e3" in findings["data set"].text
    assert list(tmp_path.iterdir()) == []


def test_resources_that_are_not_there_are_found(tmp_path: Path) -> None:
    findings = checked(tmp_path, "num_cpus=1000")
    assert not findings["resources"].ok
    assert "a trial asks for 1000 CPUs" in findings["resources"].text
    assert findings["storage"].ok


def test_data_set_that_is_not_there_is_found(tmp_path: Path) -> None:
    findings = checked(tmp_path, "dataset=nothing.npz")
    assert not findings["data set"].ok
    assert not findings["space"].ok


def test_damaged_manifest_is_found(tmp_path: Path) -> None:
    LocalStorage(tmp_path / "new" / "smoke").write("manifest.json", b"{")
    assert "manifest.json is damaged" in checked(tmp_path)["data set"].text


def test_other_data_than_the_experiments_is_refused(manifest: Manifest) -> None:
    dataset = load_dataset("digits", validation_size=200)
    assert check_dataset(dataset, manifest).startswith("digits, 1,237 + 200 + 360 images")
    changed = dataclasses.replace(dataset, record=dataclasses.replace(dataset.record, sha256="0" * 64))
    with pytest.raises(ExperimentError, match="restore the data, or start anew under another --name"):
        check_dataset(changed, manifest)


def on_file(dataset: str, folder: str | None, files: Sequence[Path] = ()) -> tuple[SweepConfig, Manifest]:
    """A sweep on a file, and the manifest of an experiment that was made with `files`, the first of them read."""
    sweep = dataclasses.replace(load_sweep("smoke", [f"dataset={dataset}", "validation_size=4"]), folder=folder)
    read = load_dataset(str(files[0]), validation_size=4) if files else load_dataset("digits", validation_size=4)
    manifest = make_manifest(sweep, read, name="e", command="")
    record = dataclasses.replace(manifest.dataset, name=dataset, files=file_states(list(files)))
    return sweep, dataclasses.replace(manifest, dataset=record)


def test_a_data_file_is_found_beside_the_sweep_file_then_where_it_was_read_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shell").mkdir()
    monkeypatch.chdir(tmp_path / "shell")
    beside, before, here = (write_npz(tmp_path / place / "a" / "d.npz") for place in ("beside", "before", "shell"))
    sweep, manifest = on_file("a/d.npz", str(tmp_path / "beside"), [before])
    resumed = dataclasses.replace(sweep, folder=None)
    assert find_data_file(sweep, None, None) == str(beside)
    assert find_data_file(sweep, manifest, None) == str(beside)
    assert find_data_file(resumed, manifest, None) == str(before)
    assert find_data_file(resumed, manifest, str(tmp_path / "beside" / "a")) == str(beside)
    beside.unlink()
    assert find_data_file(sweep, manifest, None) == str(before)
    before.unlink()
    assert find_data_file(sweep, manifest, None) == "a/d.npz"  # as sweep 0.1.0 took it
    with pytest.raises(DatasetError, match=re.escape(str(beside))):
        find_data_file(sweep, None, None)  # a new experiment is made from the sweep's own file only
    here.unlink()
    with pytest.raises(DatasetError) as refused:
        find_data_file(sweep, manifest, None)
    assert all(str(place) in str(refused.value) for place in (beside, before, here))
    with pytest.raises(DatasetError, match=r"elsewhere/d\.npz"):
        find_data_file(sweep, manifest, "elsewhere")
    assert find_data_file(load_sweep("smoke"), None, None) is None
    monkeypatch.setenv("HOME", str(tmp_path))
    home = write_npz(tmp_path / "home.npz")
    assert find_data_file(dataclasses.replace(sweep, dataset="~/home.npz"), None, None) == str(home)


def test_data_of_a_finished_experiment_are_read_only_if_size_or_time_differ(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "d.npz")
    sweep, manifest = on_file(str(file), "", [file])
    assert compare_data(sweep, manifest, None) == ""
    unreadable = tmp_path / "u.npz"
    unreadable.write_bytes(b"whoever reads it is refused")
    record = dataclasses.replace(manifest.dataset, files=file_states([unreadable]))
    known = dataclasses.replace(sweep, dataset=str(unreadable))
    assert compare_data(known, dataclasses.replace(manifest, dataset=record), None) == ""
    with pytest.raises(DatasetError, match="cannot read"):
        compare_data(known, manifest, None)


def test_data_of_a_finished_experiment_that_have_changed_are_refused_and_those_that_have_gone_are_named(
    tmp_path: Path,
) -> None:
    file = write_npz(tmp_path / "d.npz")
    sweep, manifest = on_file(str(file), "", [file])
    of_0_1_0 = dataclasses.replace(manifest, dataset=dataclasses.replace(manifest.dataset, files={}))
    write_npz(file)  # the same again
    assert compare_data(sweep, manifest, None) == compare_data(sweep, of_0_1_0, None) == ""
    write_npz(file, seed=1)
    for made in (manifest, of_0_1_0):
        with pytest.raises(ExperimentError, match="the experiment was made with"):
            compare_data(sweep, made, None)
    file.unlink()
    assert str(file) in compare_data(sweep, manifest, None)


def test_downloaded_data_of_a_finished_experiment_are_compared_and_not_downloaded_again(tmp_path: Path) -> None:
    write_idx_files(tmp_path)
    read = load_dataset("fashion_mnist", validation_size=10, data_dir=str(tmp_path))
    sweep = load_sweep("smoke", ["dataset=fashion_mnist", "validation_size=10"])
    manifest = make_manifest(sweep, read, name="e", command="")
    assert compare_data(sweep, manifest, str(tmp_path)) == ""
    file = tmp_path / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(ExperimentError, match="the experiment was made with"):
        compare_data(sweep, manifest, str(tmp_path))
    file.unlink()
    assert str(tmp_path) in compare_data(sweep, manifest, str(tmp_path))


def test_what_looks_wrong_in_the_data_is_said_and_stops_nothing(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    x = np.random.default_rng(0).normal(size=(80, 3))
    np.savez(tmp_path / "d.npz", x_train=x[:40], y_train=y, x_test=x[40:], y_test=0 * y)
    sweep = load_sweep("smoke", [f"dataset={tmp_path}/d.npz", "validation_size=4"])
    found = list(examine(sweep, LocalStorage(tmp_path / "new"), name="smoke"))
    (doubt,) = [finding for finding in found if finding.doubtful]
    assert doubt.ok
    assert str(doubt).startswith("?    data set   class 1 has no test images")
    (classes,) = [finding.text for finding in found if finding.check == "classes"]
    assert classes == "2 classes, images of each: train 18, 18; validation 2, 2; test 40, 0"


def test_of_many_classes_the_smallest_and_the_largest_are_said() -> None:
    record = load_dataset("digits").record
    many = {"train": list(range(5, 30)), "validation": [0] * 25, "test": [3] * 25}
    assert describe_classes(dataclasses.replace(record, target_counts=many)).endswith("train 5 to 29; test 3 to 3")


def test_too_little_space_is_refused_with_both_numbers(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path)
    assert "free, at most about" in check_space(storage, manifest, manifest.trials)
    monkeypatch.setattr(LocalStorage, "free_gb", lambda self: 0.001)
    with pytest.raises(StorageError, match=r"has 1\.0 MB free, the sweep needs about \d\d\.\d MB; free some space"):
        check_space(storage, manifest, manifest.trials)


def test_other_versions_than_the_experiments_are_said(manifest: Manifest) -> None:
    assert check_versions(manifest).startswith("python 3.")
    older = dataclasses.replace(manifest, versions={**manifest.versions, "torch": "2.6.0"})
    assert "torch 2.6.0 -> " in check_versions(older)
    assert "bits may differ" in check_versions(older)


def test_doctor_reads_an_experiment_that_exists(tmp_path: Path, manifest: Manifest) -> None:
    other = dataclasses.replace(manifest, dataset=dataclasses.replace(manifest.dataset, sha256="0" * 64))
    Experiment(LocalStorage(tmp_path / "new" / "smoke")).write_manifest(other)
    assert "restore the data" in checked(tmp_path)["data set"].text
