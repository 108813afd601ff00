import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep import losses, models
from sweep.config import (
    ACTIVATIONS,
    HIDDEN_LAYERS,
    LOSSES,
    SweepConfig,
    built_in_sweeps,
    check_experiment_name,
    differences,
    load_sweep,
)
from sweep.errors import ConfigError


def test_built_in_sweeps_are_the_three_promised_ones() -> None:
    assert built_in_sweeps() == ["mnist", "published", "smoke"]


def test_mnist_sweep_is_27_points_with_three_seeds_chosen_by_validation() -> None:
    sweep = load_sweep("mnist")
    assert len(sweep.points) == 27
    assert (sweep.epochs, sweep.seeds, sweep.validation_size) == (10, (0, 1, 2), 5000)
    assert sweep.selection == "validation_accuracy"


def test_published_sweep_is_the_published_protocol() -> None:
    sweep = load_sweep("published")
    assert len(sweep.points) == 27
    assert (sweep.epochs, sweep.seeds, sweep.validation_size) == (10, (0, 1, 2, 3, 4), 0)
    assert (sweep.selection, sweep.protocol) == ("train_accuracy", "published")
    assert all((point["learning_rate"], point["batch_size"]) == (0.001, 64) for point in sweep.points)


def test_hidden_layers_are_those_of_the_reference() -> None:
    assert HIDDEN_LAYERS == {"shallow": (64,), "medium": (128, 64), "deep": (256, 128, 64)}


def test_every_name_that_is_allowed_has_something_behind_it() -> None:
    assert set(ACTIVATIONS) == set(models.ACTIVATIONS)
    assert set(LOSSES) == set(losses.LOSSES)


def test_overrides_change_what_they_name() -> None:
    sweep = load_sweep(
        "mnist", ["epochs=3", "depth=shallow,deep", "seeds=0..4", "num_cpus=2", "learning_rate=0.1,0.01"]
    )
    assert sweep.epochs == 3
    assert sweep.seeds == (0, 1, 2, 3, 4)
    assert sweep.resources.num_cpus == 2
    assert len(sweep.points) == 2 * 3 * 3 * 2
    assert dict(sweep.layers) == {"shallow": (64,), "deep": (256, 128, 64)}


def test_a_sweep_file_can_name_its_own_layers_and_axes(tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'dataset = "digits"\nvalidation_size = 100\nseeds = [3]\n[axes]\ndepth = ["tiny"]\nbatch_size = [16, 32]\n'
        'activation = ["tanh"]\nloss = ["hinge"]\n[layers]\ntiny = [8, 4]\n[resources]\nnum_cpus = 2\n'
    )
    sweep = load_sweep(str(file))
    assert sweep.name == "mine"
    first, second = sweep.trials(dataset_sha256="0" * 64, engine="reference")
    assert (first.layers, first.batch_size, second.batch_size) == ((8, 4), 16, 32)
    assert first.trial_id.startswith("tiny-tanh-hinge-batch16-")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["epoch=3"], "did you mean 'epochs'?"),
        (["activation=rleu"], "unknown activation 'rleu'; choose from relu, sigmoid, tanh (did you mean 'relu'?)"),
        (["depth=dep"], "did you mean 'deep'?"),
        (["loss=hing"], "did you mean 'hinge'?"),
        (["dataset=mnits"], "did you mean 'mnist'?"),
        (["engine=stakced"], "did you mean 'stacked'?"),
        (["epochs=0"], "epochs must be a whole number of at least 1, got 0"),
        (["epochs=three"], "epochs must be a whole number of at least 1, got 'three'"),
        (["epochs=2.5"], "epochs must be a whole number"),
        (["seeds="], "seeds= has an empty value"),
        (["seeds=1,1"], "seeds repeats a value: 1,1"),
        (["seeds=4..2"], "seeds must be whole numbers"),
        (["seeds=-1"], "seeds must be whole numbers"),
        (["validation_size=-1"], "validation_size must be a whole number of at least 0"),
        (["validation_size=0"], "needs validation images"),
        (["learning_rate=0"], "learning_rate must be a positive number"),
        (["learning_rate=nan"], "learning_rate must be a positive number"),
        (["batch_size=1.5"], "batch_size must be a whole number of at least 1"),
        (["depth=deep,deep"], "depth repeats a value"),
        (["num_cpus=0"], "num_cpus must be a whole number of at least 1"),
        (["num_gpus=1.5"], "num_gpus above 1 must be a whole number"),
        (["max_retries=-1"], "max_retries must be a whole number of at least 0"),
        (["epochs"], "is not an override; write key=value"),
        (["name=other"], "use --name"),
    ],
)
def test_a_wrong_override_is_one_line_that_says_what_to_do(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep("mnist", overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "is not valid TOML"),
        ("epoch = 3", "did you mean 'epochs'?"),
        ("num_cpus = 2", "belongs under [resources]"),
        ('depth = ["deep"]', "belongs under [axes]"),
        ("[axes]\nwidth = [3]", "unknown axis 'width'"),
        ("[axes]\ndepth = []", "depth has no values"),
        ("[resources]\ncpus = 1", "unknown key 'cpus'"),
        ("seeds = []", "seeds must be whole numbers"),
        ("epochs = true", "epochs must be a whole number"),
        ("axes = 3", "axes must be a table"),
        ('[layers]\n"a/b" = [3]', "letters, digits"),
        ("[layers]\nwide = [0]", "positive whole numbers"),
        ('dataset = "cifar"', "unknown dataset 'cifar'"),
    ],
)
def test_a_wrong_sweep_file_is_one_line_that_says_what_to_do(tmp_path, text: str, message: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_sweep(str(file))
    assert message in str(caught.value)


def test_an_unknown_sweep_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mnist'"):
        load_sweep("minst")
    with pytest.raises(ConfigError, match=r"cannot read the sweep file nowhere\.toml"):
        load_sweep("nowhere.toml")


@pytest.mark.parametrize("name", ["", "..", "a/b", "../a", "a..b", ".hidden", "-x", "a b", "a\n", "x" * 101])
def test_a_name_that_could_leave_the_storage_path_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be an experiment's name"):
        check_experiment_name(name)


@pytest.mark.parametrize("name", ["mnist", "mnist-2", "Größe_1", "v1.2"])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert check_experiment_name(name) == name


@pytest.mark.parametrize("name", ["mnist", "published", "smoke"])
def test_a_sweep_survives_json(name: str) -> None:
    sweep = load_sweep(name, ["learning_rate=0.1,0.01"])
    assert SweepConfig.from_json(json.loads(json.dumps(sweep.to_json()))) == sweep


def test_everything_that_decides_the_numbers_is_in_the_id() -> None:
    base = load_sweep("mnist").trials(dataset_sha256="0" * 64, engine="stacked")[0]
    changed = {
        "dataset": "digits",
        "dataset_sha256": "1" * 64,
        "validation_size": 0,
        "depth": "medium",
        "layers": (63,),
        "activation": "tanh",
        "loss": "hinge",
        "learning_rate": 0.01,
        "batch_size": 32,
        "epochs": 9,
        "seeds": (0, 1),
        "engine": "reference",
    }
    assert {"trial_id", *changed} == {field.name for field in dataclasses.fields(base)}
    others = [dataclasses.replace(base, **{"trial_id": "", key: value}) for key, value in changed.items()]
    assert len({base.digest, *(other.digest for other in others)}) == len(changed) + 1
    assert all(other.trial_id.endswith(f"-{other.digest}") for other in (base, *others))


def test_the_id_does_not_change_from_one_version_to_the_next() -> None:
    trial = load_sweep("mnist").trials(dataset_sha256="0" * 64, engine="stacked")[0]
    assert trial.trial_id == "shallow-relu-cross_entropy-e6083c5a"


def test_resources_do_not_make_another_sweep_but_epochs_do() -> None:
    sweep = load_sweep("mnist")
    assert differences(sweep, load_sweep("mnist", ["num_cpus=2", "max_retries=0"])) == []
    assert differences(sweep, load_sweep("mnist", ["epochs=3", "depth=deep"])) == [
        "epochs: 10 in the experiment, 3 asked for",
        "depth: shallow,medium,deep in the experiment, deep asked for",
    ]


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=5, unique=True))
def test_seeds_are_read_as_written(seeds: list[int]) -> None:
    assert load_sweep("smoke", ["seeds=" + ",".join(map(str, seeds))]).seeds == tuple(seeds)


def test_grid_points_are_all_combinations_once() -> None:
    points = [tuple(point.values()) for point in load_sweep("mnist").points]
    assert points == list(
        itertools.product(
            HIDDEN_LAYERS,
            ("relu", "sigmoid", "tanh"),
            ("cross_entropy", "sparse_cross_entropy", "hinge"),
            (0.001,),
            (64,),
        )
    )
