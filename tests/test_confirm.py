"""`sweep confirm` as a user types it, with the real report, in a folder and in a bucket."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from command import run_command
from object_store import Bucket

from sweep.records import Manifest, open_experiment
from sweep.storage import open_storage

WORDS = ("smoke", "depth=shallow,deep", "activation=relu,tanh", "loss=hinge", "seeds=0,1", "--quiet")


def manifest_of(storage: str, name: str = "smoke") -> Manifest:
    manifest = open_experiment(open_storage(storage), name).read_manifest()
    assert manifest
    return manifest


@pytest.mark.slow
def test_a_finished_sweep_is_confirmed_and_its_report_is_that_of_the_sweep(tmp_path: Path) -> None:
    run = run_command("run", *WORDS, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    results = tmp_path / "experiments" / "smoke" / "report" / "results.csv"
    before = results.read_bytes()
    confirmed = run_command("confirm", "smoke", "--count", "1", "--seeds", "2", "--out", "page", cwd=tmp_path)
    assert confirmed.returncode == 0, confirmed.stderr
    assert "report: page/report.html" in confirmed.stdout
    assert (tmp_path / "page" / "results.csv").read_bytes() == before
    manifest = manifest_of(str(tmp_path / "experiments"))
    assert [trial.seeds for trial in manifest.confirmations] == [(2**62, 2**62 + 1)]
    assert manifest.commands[1].startswith("sweep confirm smoke")
    listed = json.loads(run_command("list", "--json", cwd=tmp_path).stdout)
    assert (listed[0]["done"], listed[0]["trials"]) == (5, 5)
    # A copy under another name has the confirmation too, and can write its report.
    shutil.copytree(tmp_path / "experiments" / "smoke", tmp_path / "experiments" / "copy")
    again = run_command("confirm", "copy", "--count", "1", "--seeds", "2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    with (tmp_path / "experiments" / "copy" / "report" / "results.csv").open() as file:
        assert {row["seed"] for row in csv.DictReader(file)} == {"0", "1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["smoke"], "--extend"),
        (["smoke", "--count", "99"], "--extend"),
        (["smok"], "did you mean 'smoke'?"),
    ],
)
def test_what_cannot_be_confirmed_is_one_line_and_trains_nothing(
    smoke_folder: Path, words: list[str], advice: str
) -> None:
    refused = run_command("confirm", *words, cwd=smoke_folder)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert advice in refused.stderr
    assert manifest_of(str(smoke_folder / "experiments")).confirmations == ()


@pytest.mark.parametrize("words", [["--count", "0"], ["--seeds", "0"], ["--seeds", "10001"], ["--count", "many"]])
def test_numbers_that_cannot_be_are_refused_by_the_command_line(tmp_path: Path, words: list[str]) -> None:
    assert run_command("confirm", "smoke", *words, cwd=tmp_path).returncode == 2


@pytest.mark.slow
def test_a_sweep_in_a_bucket_is_confirmed_there(bucket: Bucket, tmp_path: Path) -> None:
    run = run_command("run", *WORDS, "--storage", bucket.uri, cwd=tmp_path, variables=bucket.environment)
    assert run.returncode == 0, run.stderr
    confirmed = run_command("confirm", "smoke", "--storage", bucket.uri, cwd=tmp_path, variables=bucket.environment)
    assert confirmed.returncode == 0, confirmed.stderr
    manifest = manifest_of(bucket.uri)
    assert len(manifest.confirmations) >= 2
    assert {len(trial.seeds) for trial in manifest.confirmations} == {3}
    verified = run_command("verify", "smoke", "--storage", bucket.uri, cwd=tmp_path, variables=bucket.environment)
    assert verified.returncode == 0, verified.stdout
