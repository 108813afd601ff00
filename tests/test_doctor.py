"""What would stop a sweep is found out, each in one line."""

import dataclasses
from pathlib import Path

import pytest

from sweep.config import load_sweep
from sweep.datasets import load_dataset
from sweep.doctor import Finding, check_dataset, check_space, check_versions, examine
from sweep.errors import ExperimentError, StorageError
from sweep.plan import make_manifest
from sweep.records import Experiment, Manifest
from sweep.storage import LocalStorage


@pytest.fixture
def manifest() -> Manifest:
    sweep = load_sweep("smoke")
    dataset = load_dataset("digits", validation_size=200)
    return make_manifest(sweep, dataset, name="smoke", command="", engine="reference", fingerprint={})


def checked(tmp_path: Path, *overrides: str) -> dict[str, Finding]:
    found = list(examine(load_sweep("smoke", overrides), LocalStorage(tmp_path / "new"), name="smoke"))
    assert all("\n" not in str(finding) for finding in found)
    return {finding.check: finding for finding in found}


def test_sweep_that_can_run_passes_every_check_and_nothing_is_written(tmp_path: Path) -> None:
    findings = checked(tmp_path)
    assert list(findings) == ["versions", "resources", "data set", "storage", "space", "report"]
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
    changed = dataclasses.replace(dataset, sha256="0" * 64)
    with pytest.raises(ExperimentError, match="restore the data, or start anew under another --name"):
        check_dataset(changed, manifest)


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
