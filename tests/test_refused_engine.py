"""Where the stacked engine is refused, what was begun with it is read, verified and not spoiled.

The refusal is a kept answer of the self-check, as a machine has it on which the check has failed.
"""

import dataclasses
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command import run_command

from sweep import plan
from sweep.config import load_sweep
from sweep.datasets import Dataset
from sweep.doctor import Finding, check_engine, examine
from sweep.errors import ConfigError, ResourceError
from sweep.loops import stacked
from sweep.pieces import PRODUCTS
from sweep.plan import Worker
from sweep.records import Experiment, Manifest, read_state
from sweep.report import write_report
from sweep.storage import LocalStorage
from sweep.trial import TrialRun, describe_worker
from sweep.verify import retrain, verify

FIXTURE = Path(__file__).parent / "experiments_of_0_1_0"
SMOKE = load_sweep("smoke")
REASON = "its self-check on cpu ended with AttributeError: no such operator"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder in which the engine is refused; a process that has asked nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = stacked.kept_in("cpu")
    LocalStorage(file.parent).write(file.name, json.dumps(dict.fromkeys(PRODUCTS, REASON)).encode())
    stacked._found.cache_clear()
    yield tmp_path / "cache"
    stacked._found.cache_clear()


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """Experiments of 0.1.0, begun with the stacked engine: one finished, one half done by an older torch."""
    for name in ("finished", "half_done"):
        shutil.copytree(FIXTURE / name, tmp_path / "experiments" / name)
    older = Experiment(LocalStorage(tmp_path / "experiments" / "half_done"))
    manifest = manifest_of(older)
    older.write_manifest(dataclasses.replace(manifest, versions={**manifest.versions, "torch": "2.3.1"}))
    return LocalStorage(tmp_path / "experiments")


def manifest_of(experiment: Experiment) -> Manifest:
    manifest = experiment.read_manifest()
    assert manifest
    return manifest


def files_of(experiment: Experiment) -> dict[Path, bytes]:
    assert isinstance(experiment.storage, LocalStorage)
    files = [file for file in experiment.storage.root.rglob("*.*") if file.name != "lock.json"]
    return {file: file.read_bytes() for file in files if file.is_file()}


@pytest.mark.usefixtures("cache")
def test_scores_are_computed_again_without_the_operators_that_training_needs(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_fused_adam_", "_log_softmax", "_log_softmax_backward_data"):
        monkeypatch.delattr(torch, name)
    for name in ("threshold_backward", "sigmoid_backward", "tanh_backward", "multi_margin_loss_backward"):
        monkeypatch.setattr(torch.ops.aten, name, object())
    findings = list(verify(Experiment(storage.folder("finished"))))
    assert len(findings) == 2 + 4
    assert all(finding.ok for finding in findings)
    assert all("test scores" in finding.text or "test accuracies" in finding.text for finding in findings[2:])


@pytest.mark.usefixtures("cache")
def test_a_report_is_written_all_the_same(storage: LocalStorage, tmp_path: Path) -> None:
    page = write_report([read_state(Experiment(storage.folder("half_done")))], tmp_path / "report")
    assert page.stat().st_size > 10_000


@pytest.mark.usefixtures("cache")
def test_training_again_to_verify_is_refused_with_the_reason(storage: LocalStorage) -> None:
    experiment = Experiment(storage.folder("finished"))
    with pytest.raises(ResourceError, match=REASON):
        list(retrain(experiment, manifest_of(experiment).trials[0].trial_id))


@pytest.mark.usefixtures("cache")
def test_a_trial_is_refused_before_anything_is_written(storage: LocalStorage, digits: Dataset) -> None:
    experiment = Experiment(storage.folder("half_done"))
    before = files_of(experiment)
    for trial in manifest_of(experiment).trials:
        with pytest.raises(ResourceError, match=REASON):
            TrialRun(trial, digits, experiment)
    assert files_of(experiment) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_trial_for_a_gpu_is_refused_where_there_is_none(storage: LocalStorage, digits: Dataset) -> None:
    experiment = Experiment(storage.folder("half_done"))
    with pytest.raises(ResourceError, match="torch finds no CUDA device here"):
        TrialRun(manifest_of(experiment).trials[0], digits, experiment, device="cuda")


@pytest.mark.usefixtures("cache")
def test_a_worker_that_is_refused_blames_its_node_and_no_trial(storage: LocalStorage, digits: Dataset) -> None:
    from sweep.tuning.nodes import versions
    from sweep.tuning.trials import GridPointTrainable, PassOn

    experiment = Experiment(storage.folder("half_done"))
    trial = read_state(experiment).manifest.trials[-1]

    class Worker(GridPointTrainable):
        def setup(self, config: dict[str, Any], **shared: Any) -> None:
            more = {"trials": {trial.trial_id: trial}, "options": {}, "at_once": 1, "versions": versions()}
            super().setup(config, dataset=digits, root=str(experiment.storage), **more)

    worker = Worker({"trial_ids": [trial.trial_id]})
    stop = threading.Event()
    listener: Any = None  # nobody is told that a trial has failed
    callback = PassOn(experiment, listener, stop, max_retries=0, at_once=1)
    callback.on_trial_result(0, [], None, worker.step())
    assert stop.is_set()
    assert isinstance(callback.problem, ResourceError)
    assert REASON in str(callback.problem)
    assert read_state(experiment).failed == {}


@pytest.mark.usefixtures("cache")
def test_a_new_sweep_uses_the_reference_engine_and_says_why(digits: Dataset) -> None:
    here = describe_worker(work=plan.work_of(SMOKE, None, digits.record))
    manifest = plan.make_manifest(SMOKE, digits, name="new", command="", worker=here)
    assert check_engine(manifest, here) == f"the reference engine is used, the stacked one is not: {REASON}"
    assert (manifest.products, manifest.us_per_step) == ("torch", {})
    with pytest.raises(ConfigError, match=REASON):
        plan.make_manifest(load_sweep("smoke", ["engine=stacked"]), digits, name="new", command="", worker=here)


@pytest.mark.usefixtures("cache")
def test_the_doctor_says_which_engine_is_used_and_what_to_install(storage: LocalStorage) -> None:
    def engine(name: str) -> Finding:
        sweep = load_sweep("smoke", ["num_gpus=0"])
        return next(one for one in examine(sweep, storage, name=name) if one.check == "engine")

    assert engine("new").ok
    assert "reference" in engine("new").text
    assert not engine("half_done").ok
    assert "torch==2.3.1" in engine("half_done").text


def test_the_way_out_is_the_torch_it_was_begun_with_if_that_is_another(storage: LocalStorage) -> None:
    refusing = Worker(fingerprint={}, unfit={"stacked": "so it is"})
    older, same = (manifest_of(Experiment(storage.folder(name))) for name in ("half_done", "finished"))
    with pytest.raises(ResourceError, match=r"install torch==2\.3\.1, or give the sweep another --name"):
        check_engine(older, refusing)
    if torch.__version__.startswith(same.versions["torch"]):
        with pytest.raises(ResourceError, match="machine") as refused:
            check_engine(same, refusing)
        assert "install" not in str(refused.value)
    assert check_engine(older, Worker(fingerprint={})) == "the stacked engine is used"


@pytest.mark.slow
def test_resume_and_run_say_what_to_install_and_write_nothing(storage: LocalStorage, cache: Path) -> None:
    experiment = Experiment(storage.folder("half_done"))
    before = files_of(experiment)
    words = ("resume", "half_done", "--quiet")
    refused = run_command(*words, cwd=storage.root.parent, variables={"XDG_CACHE_HOME": str(cache)})
    assert refused.returncode == ResourceError.exit_code == 3
    assert len(refused.stderr.splitlines()) == 1
    assert REASON in refused.stderr
    assert "torch==2.3.1" in refused.stderr
    assert files_of(experiment) == before


@pytest.mark.slow
def test_a_new_sweep_is_trained_by_the_reference_engine(tmp_path: Path, cache: Path) -> None:
    words = ("run", "smoke", "depth=shallow", "activation=relu", "loss=hinge", "seeds=0", "epochs=1")
    finished = run_command(*words, cwd=tmp_path, variables={"XDG_CACHE_HOME": str(cache)})
    assert finished.returncode == 0, finished.stderr
    assert REASON in finished.stderr
    (trial,) = read_state(Experiment(LocalStorage(tmp_path / "experiments" / "smoke"))).manifest.trials
    assert trial.engine == "reference"
