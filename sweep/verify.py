"""Checks that an experiment's files are whole and true: hashes, and scores computed again from the weights.

Reads and never writes the experiment. Imports neither torch nor ray at the top. Axis letters: R replicates, N images,
P parameters of one replicate.
"""

import functools
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sweep.axes import Point
from sweep.config import TrialConfig, check_trainable
from sweep.datasets import Dataset
from sweep.doctor import Finding, check_dataset, finding, read_dataset
from sweep.errors import ConfigError, ExperimentError, SweepError, unknown
from sweep.metrics import history, scores
from sweep.records import DoneRecord, Experiment, Manifest, State, products_of, read_state
from sweep.storage import LocalStorage

# Another machine's rounding may turn the nearest of decisions, not more of them.
_SCORE_MAY_DRIFT = 0.002


def damaged_files(experiment: Experiment, record: DoneRecord) -> list[str]:
    """Says which files of a finished trial are missing or not what was written."""
    damages = []
    for file, sha256 in record.files.items():
        try:
            content = experiment.storage.read(f"trials/{record.trial_id}/{file}")
        except FileNotFoundError:
            damages.append(f"{file} is missing")
            continue
        if hashlib.sha256(content).hexdigest() != sha256:
            damages.append(f"{file} is damaged")
    return damages


def verify(experiment: Experiment, *, data_dir: str | None = None) -> Iterator[Finding]:
    """Gives a finding for the manifest, the data set and each trial, one by one.

    Raises:
        ExperimentError: if there is no manifest, or it is damaged.
    """
    state = read_state(experiment).averaged
    manifest = state.manifest
    yield finding("manifest", lambda: _manifest_line(manifest))
    dataset: Dataset | None = None
    try:
        dataset = read_dataset(manifest.sweep, manifest, data_dir)
    except SweepError as error:
        yield Finding(check="data set", ok=False, text=f"{error}; scores are not computed again")
    else:
        yield finding("data set", lambda: _test_split_line(experiment, manifest, dataset))
    for trial in manifest.trials:
        line = functools.partial(_trial_line, state, trial, dataset)
        yield finding(trial.trial_id, line)


def retrain(experiment: Experiment, trial_id: str, *, data_dir: str | None = None) -> Iterator[Finding]:
    """Trains a finished trial again in a temporary folder, and compares it bit for bit with what is recorded.

    Where the machine is another than the recorded one, the findings say so and give the drift instead.

    Raises:
        ConfigError: if there is no such trial.
        ExperimentError: if the trial is not finished, or its files are damaged.
    """
    from sweep.trial import fingerprint, run_trial

    state = read_state(experiment)
    manifest = state.manifest
    trials = {trial.trial_id: trial for trial in manifest.trials}
    if trial_id not in trials:
        raise ConfigError(unknown("trial", trial_id, trials))
    check_trainable(trials[trial_id])
    recorded = state.done.get(trial_id)
    if recorded is None:
        raise ExperimentError(f"trial {trial_id} is not finished; go on with: sweep resume {manifest.name}")
    if damages := damaged_files(experiment, recorded):
        raise ExperimentError(f"trial {trial_id}: {', '.join(damages)}; run the sweep again, which repairs it")
    first = recorded.fingerprints[0][1]
    options = _options(first)
    here = fingerprint(**options)
    moved = _changes([where for _, where in recorded.fingerprints], here)
    with tempfile.TemporaryDirectory(prefix="sweep-verify-") as folder:
        copy = Experiment(LocalStorage(folder))
        run_trial(trials[trial_id], read_dataset(manifest.sweep, manifest, data_dir), copy, **options)
        again = copy.read_done(trial_id)
        assert again
        if moved:
            yield Finding(check="machine", ok=True, text=f"not the recorded one ({moved}): bits may differ")
            yield Finding(check="drift", ok=True, text=_drift(state, copy, recorded, again))
        else:
            yield finding("bits", lambda: _same_bits_line(state, copy, recorded, again))


def _manifest_line(manifest: Manifest) -> str:
    others = [trial.trial_id for trial in manifest.trials if not trial.trial_id.endswith(f"-{trial.digest}")]
    if others:
        raise ExperimentError(f"{len(others)} trials are not what their ids stand for, such as {others[0]}")
    covered: dict[Point, list[int]] = {point: [] for point in manifest.sweep.points}
    for trial in manifest.compared:
        covered.setdefault(trial.point, []).extend(trial.seeds)
    if wrong := [point for point, seeds in covered.items() if sorted(seeds) != sorted(manifest.sweep.seeds)]:
        raise ExperimentError(f"the seeds of {len(wrong)} grid points are not the sweep's")
    used = set(manifest.sweep.seeds)
    if any(used & set(trial.seeds) for trial in manifest.confirmations):
        raise ExperimentError("the seeds of the confirmation are not fresh")
    models = sum(len(trial.seeds) for trial in manifest.trials)
    confirming = f", {len(manifest.confirmations)} of them for the confirmation" if manifest.confirmations else ""
    return f"{len(manifest.trials)} trials, {models} models, all of the sweep{confirming}"


def _test_split_line(experiment: Experiment, manifest: Manifest, dataset: Dataset) -> str:
    try:
        images, y_true = experiment.read_test_split()
        same = np.array_equal(images, dataset.test_pixels) and np.array_equal(y_true, dataset.test.labels)
    except Exception as error:  # zipfile, zlib and numpy each raise their own for a damaged file
        raise ExperimentError(f"test_split.npz cannot be read ({error})") from error
    if not same:
        raise ExperimentError("test_split.npz is not the data set's test split")
    return check_dataset(dataset, manifest)


def _trial_line(state: State, trial: TrialConfig, dataset: Dataset | None) -> str:
    record = state.done.get(trial.trial_id)
    if record is None:
        raise ExperimentError("not finished, or done.json is damaged")
    whole = f"{len(record.files) + 1} files whole"
    problems = damaged_files(state.experiment, record)
    if tuple(replicate.seed for replicate in record.replicates) != trial.seeds:
        problems.append("its record has other seeds than the manifest")
    if dataset and not problems:
        try:
            problems, drift = _recomputed(state, trial, record, dataset)
        except Exception as error:  # what is recorded decides what runs here, and may name what there is not
            raise ExperimentError(f"its scores cannot be computed again ({type(error).__name__}: {error})") from error
        whole += f", {drift or f'test scores of {len(record.replicates)} models equal'}"
    if problems:
        raise ExperimentError(", ".join(problems))
    return whole


def _recomputed(state: State, trial: TrialConfig, record: DoneRecord, dataset: Dataset) -> tuple[list[str], str]:
    """Gives the problems of the scores computed again from the weights, and in words how far they drifted elsewhere."""
    from sweep.trial import fingerprint, hash_of, score_test_split

    manifest, task = state.manifest, state.manifest.predicts
    where = record.fingerprints[-1][1]
    here = fingerprint(**_options(where))
    weights = _weights(state.experiment, record)
    problems = [
        f"the parameters of seed {replicate.seed} are not those recorded"
        for replicate, values in zip(record.replicates, weights["parameters"], strict=True)
        if hash_of(values) != replicate.parameters_sha256
    ]
    losses, outputs = score_test_split(trial, dataset, weights, **_options(here))
    arrays = task.predictions({"test": outputs}, {"test": dataset.test.labels})
    recorded = state.experiment.read_predictions(record.trial_id, task.ARRAYS)
    expected = {one.metric.name: record.final(one) for one in scores(manifest.metrics) if one.split == "test"}
    # Recorded predictions and recorded scores must agree wherever they are read.
    if any(list(expected[name]) != row for name, row in task.scores(recorded, "test").items()):
        problems.append("the recorded predictions do not give the recorded scores")
    found = {**task.scores(arrays, "test"), "loss": losses}
    moved = _changes([where], here)
    if not moved:
        if not all(np.array_equal(arrays[name], recorded[name], equal_nan=True) for name in arrays):
            problems.append("the weights give other predictions than those recorded")
        if not all(np.array_equal(found[name], row, equal_nan=True) for name, row in expected.items()):
            problems.append("the weights give other test scores than those recorded")
        return problems, ""
    tested = manifest.tested
    drift = float(np.abs(np.subtract(found[tested.metric.name], expected[tested.metric.name])).max())
    if drift > _SCORE_MAY_DRIFT:
        problems.append(f"the weights give another {tested.title}, by up to {drift:.4f}")
    return problems, f"on another machine than recorded ({moved}) the {tested.title} differs by at most {drift:.4f}"


def _same_bits_line(state: State, copy: Experiment, recorded: DoneRecord, again: DoneRecord) -> str:
    kept = state.manifest.predicts.ARRAYS
    before, after = (files.read_predictions(recorded.trial_id, kept) for files in (state.experiment, copy))
    curves = history(state.manifest.metrics)
    equal = {
        "parameters": recorded.replicates == again.replicates,
        "predictions": all(np.array_equal(before[name], after[name], equal_nan=True) for name in kept),
        "history": all(np.array_equal(recorded.history(one), again.history(one), equal_nan=True) for one in curves),
    }
    if different := [name for name, same in equal.items() if not same]:
        raise ExperimentError(f"{', '.join(different)} not as recorded: {_drift(state, copy, recorded, again)}")
    models = f"{len(again.replicates)} models x {len(again.history(curves[0]))} epochs"
    return f"{models}: parameters, predictions and history equal in every bit"


def _drift(state: State, copy: Experiment, recorded: DoneRecord, again: DoneRecord) -> str:
    before = _weights(state.experiment, recorded)["parameters"]
    after, tested = _weights(copy, again)["parameters"], state.manifest.tested
    changes = np.subtract(again.final(tested), recorded.final(tested))
    return (
        f"parameters differ by at most {float((before - after).abs().max()):.3g}, "
        f"{tested.title} by {changes.min():+.4f} to {changes.max():+.4f}"
    )


def _weights(experiment: Experiment, record: DoneRecord) -> Mapping[str, Any]:
    """What the loop kept at the end."""
    from sweep.trial import load_checkpoint

    (file,) = [file for file in record.files if file.endswith(".pt")]
    state: Mapping[str, Any] = load_checkpoint(experiment.storage.read(f"trials/{record.trial_id}/{file}"))[
        "engine_state"
    ]
    return state


def _options(where: Mapping[str, Any]) -> dict[str, Any]:
    """How to train here as nearly as can be to what a fingerprint says."""
    from sweep.trial import device_like

    num_threads = where.get("num_threads", 1)
    return {"num_threads": num_threads, "device": device_like(where), "products": products_of(where)}


def _changes(recorded: Sequence[Mapping[str, Any]], here: Mapping[str, Any]) -> str:
    changed = [
        f"{key} {where.get(key)} -> {here.get(key)}"
        for where in recorded
        for key in {**where, **here}
        if where.get(key) != here.get(key)
    ]
    return ", ".join(dict.fromkeys(changed))
