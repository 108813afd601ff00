"""Manifests are made and extended by the values themselves, not by how they are written."""

import dataclasses

import pytest

from sweep import pieces
from sweep.config import SweepConfig, load_sweep
from sweep.datasets import Dataset
from sweep.doctor import check_engine
from sweep.errors import ConfigError
from sweep.plan import Worker, check_same_sweep, extend_manifest, make_manifest
from sweep.records import Manifest

ONE_POINT = ("depth=shallow", "activation=relu", "loss=hinge", "seeds=0")


def sweep_of(*overrides: str) -> SweepConfig:
    return load_sweep("smoke", [*ONE_POINT, *overrides])


def manifest_of(digits: Dataset, *overrides: str) -> Manifest:
    return make_manifest(sweep_of(*overrides), digits, name="a", command="")


def test_a_value_that_is_close_to_another_is_added_beside_it(digits: Dataset) -> None:
    manifest = manifest_of(digits, "learning_rate=0.1")
    larger = extend_manifest(manifest, sweep_of("learning_rate=0.1,0.1000000001"), command="more")
    assert [trial.learning_rate for trial in larger.trials] == [0.1, 0.1000000001]
    assert larger.trials[0] == manifest.trials[0]
    assert larger.axes[3].values == (0.1, 0.1000000001)


def test_a_value_in_another_writing_is_not_added_again(digits: Dataset) -> None:
    manifest = manifest_of(digits, "learning_rate=1,0.01")
    for overrides in (["learning_rate=1.0,1e-2"], ["learning_rate=1e0,0.010"]):
        check_same_sweep(manifest, sweep_of(*overrides))
        assert extend_manifest(manifest, sweep_of(*overrides), command="again") is manifest
    larger = extend_manifest(manifest, sweep_of("learning_rate=1.0,1e-2", "seeds=0,1"), command="more")
    assert [trial.seeds for trial in larger.trials] == [(0,), (0,), (1,), (1,)]


def test_an_added_trial_has_an_id_of_its_own(digits: Dataset) -> None:
    larger = extend_manifest(manifest_of(digits), sweep_of("seeds=0..2"), command="more")
    first, second = larger.trials
    assert (first.seeds, second.seeds) == ((0,), (1, 2))
    assert first.trial_id != second.trial_id
    assert second.trial_id.endswith(f"-{second.digest}")


@pytest.fixture
def elu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further activation, which the stacked loop has no step for."""
    monkeypatch.setitem(pieces.ACTIVATIONS, "elu", "torch.nn.ELU")


@pytest.mark.usefixtures("elu")
def test_each_trial_gets_the_first_loop_that_takes_it(digits: Dataset) -> None:
    manifest = manifest_of(digits, "activation=relu,elu")
    assert [trial.engine for trial in manifest.trials] == ["stacked", "reference"]
    assert manifest.trials[1].trial_id.endswith(manifest.trials[1].digest)
    assert "activation elu" in check_engine(manifest, Worker(fingerprint={}))
    with pytest.raises(ConfigError, match="activation elu"):
        manifest_of(digits, "activation=relu,elu", "engine=stacked")


@pytest.mark.usefixtures("elu")
def test_an_extended_experiment_goes_on_with_its_loops_where_they_take_the_trial(digits: Dataset) -> None:
    wider = sweep_of("activation=relu,elu", "seeds=0,1")
    larger = extend_manifest(manifest_of(digits), wider, command="")
    assert [trial.engine for trial in larger.trials] == ["stacked", "stacked", "reference"]
    begun = make_manifest(
        sweep_of(), digits, name="a", command="", worker=Worker(fingerprint={}, unfit={"stacked": "so"})
    )
    assert {trial.engine for trial in extend_manifest(begun, wider, command="").trials} == {"reference"}


def test_a_folder_that_two_trials_would_share_is_refused_before_training(digits: Dataset) -> None:
    manifest = manifest_of(digits)
    wanted = extend_manifest(manifest, sweep_of("seeds=0,1"), command="").trials[1].trial_id
    # As if another trial were called so already, in capitals, which some file systems do not tell apart.
    taken = dataclasses.replace(manifest.trials[0], trial_id=wanted.upper())
    with pytest.raises(ConfigError, match="two trials would have the id"):
        extend_manifest(dataclasses.replace(manifest, trials=(taken,)), sweep_of("seeds=0,1"), command="")
