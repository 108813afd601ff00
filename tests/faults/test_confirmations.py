"""A confirmation is trials like any other: killed, resumed, extended beside, verified, reported and never ranked."""

import json
from pathlib import Path

from harness import WORDS, Case, mismatches, numbers, uninterrupted

from sweep.config import FIRST_RESERVED_SEED
from sweep.datasets import load_dataset
from sweep.records import Experiment, Manifest, read_state
from sweep.report.text import csv
from sweep.storage import LocalStorage
from sweep.table import history_table, results_table
from sweep.trial import run_trial

CONFIRM = ("confirm", "smoke", "--count", "3", "--seeds", "2")


def manifest_of(case: Case) -> Manifest:
    manifest = case.experiment.read_manifest()
    assert manifest
    return manifest


def trained_elsewhere(folder: Path, manifest: Manifest) -> Experiment:
    """The same trials, in this process, without Ray and without faults."""
    experiment = Experiment(LocalStorage(folder))
    experiment.write_manifest(manifest)
    dataset = load_dataset(manifest.sweep.dataset, validation_size=manifest.sweep.validation_size)
    for trial in manifest.trials:
        run_trial(trial, dataset, experiment, products=manifest.products)
    return experiment


def compared(case: Case) -> list[str]:
    """The tables of the report as it would be written now, in which fresh seeds have no place."""
    records = read_state(case.experiment)
    return [csv(make(records)) for make in (results_table, history_table)]


def test_a_confirmation_killed_in_the_middle_goes_on_and_nothing_is_repeated(case: Case, tmp_path: Path) -> None:
    assert case.sweep("run", *WORDS).process.returncode == 0
    screened, ranked = manifest_of(case), compared(case)
    before = numbers(case.experiment)
    assert mismatches(before, uninterrupted(tmp_path / "screened")) == []

    case.set_faults({"slow_epoch_s": 0.3})
    run = case.start(*CONFIRM)
    run.until_epochs(5)
    run.kill()
    planned = manifest_of(case)
    assert planned.compared == screened.trials
    assert len(planned.confirmations) == 3
    assert {trial.seeds for trial in planned.confirmations} == {(FIRST_RESERVED_SEED, FIRST_RESERVED_SEED + 1)}
    run.until_gone()
    case.set_faults()

    status = json.loads(case.sweep("status", "smoke", "--json").output)
    assert sum(row["role"] == "confirmation" for row in status["trials"]) == 3
    assert "(confirmation)" in case.sweep("status", "smoke").output
    assert case.sweep("confirm", "smoke", "--count", "2").process.returncode == 2
    assert case.sweep("confirm", "smoke", "--seeds", "3").process.returncode == 2
    assert manifest_of(case) == planned

    resumed = case.sweep("resume", "smoke")
    assert resumed.process.returncode == 0, resumed.output
    assert "(confirmation)" in resumed.output
    assert manifest_of(case) == planned
    assert case.ledger.rerun == []
    assert case.ledger.steps_back <= 1
    after = numbers(case.experiment)
    assert mismatches({trial_id: after[trial_id] for trial_id in before}, before) == []
    assert mismatches(after, numbers(trained_elsewhere(tmp_path / "elsewhere", planned))) == []
    assert compared(case) == ranked

    rows = case.ledger.rows
    again = case.sweep("confirm", "smoke")
    assert again.process.returncode == 0, again.output
    assert "report: " in again.output
    assert case.ledger.rows == rows

    extended = case.sweep("run", *WORDS[:-1], "seeds=0..2", "--extend")
    assert extended.process.returncode == 0, extended.output
    larger = manifest_of(case)
    assert larger.confirmations == planned.confirmations
    assert (planned.looks, larger.looks) == (1, 2)
    assert case.ledger.rerun == []
    assert set(results_table(read_state(case.experiment)).seed) == {0, 1, 2}

    verified = case.sweep("verify", "smoke")
    assert verified.process.returncode == 0, verified.output
    fresh = planned.confirmations[0].trial_id
    retrained = case.sweep("verify", "smoke", "--retrain", fresh)
    assert retrained.process.returncode == 0, retrained.output
    assert case.sweep("confirm", "smoke").process.returncode == 0
    assert manifest_of(case) == larger


def test_a_confirmation_before_the_sweep_is_finished_is_refused_and_plans_nothing(case: Case, cluster: str) -> None:
    case.set_faults({"slow_epoch_s": 0.3})
    run = case.start("run", *WORDS, address=cluster)
    run.until_epochs(3)
    run.kill()
    run.until_gone()
    case.set_faults()
    manifest = manifest_of(case)
    refused = case.sweep(*CONFIRM, address=cluster)
    assert refused.process.returncode == 2
    assert len(refused.output.splitlines()) == 1
    assert "sweep resume smoke" in refused.output
    assert manifest_of(case) == manifest
    # On the cluster, as resume does: the finalists of what is finished there.
    assert case.sweep("resume", "smoke", address=cluster).process.returncode == 0
    confirmed = case.sweep("confirm", "smoke", address=cluster)
    assert confirmed.process.returncode == 0, confirmed.output
    assert 2 <= len(manifest_of(case).confirmations) <= 4
    assert len(manifest_of(case).confirmations[0].seeds) == 3
