import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import run_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.axes import value_name
from sweep.config import (
    CONFIRMATION,
    HIDDEN_LAYERS,
    SweepConfig,
    built_in_sweeps,
    check_experiment_name,
    differences,
    load_sweep,
    read_sweep,
)
from sweep.errors import ConfigError
from sweep.pieces import ACTIVATIONS


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
    assert all(point[3:] == (0.001, 64) for point in sweep.points)


def test_hidden_layers_are_those_of_the_reference() -> None:
    assert HIDDEN_LAYERS == {"shallow": (64,), "medium": (128, 64), "deep": (256, 128, 64)}


def test_overrides_change_what_they_name() -> None:
    sweep = load_sweep(
        "mnist", ["epochs=3", "depth=shallow,deep", "seeds=0..4", "num_cpus=2", "learning_rate=0.1,0.01"]
    )
    assert sweep.epochs == 3
    assert sweep.seeds == (0, 1, 2, 3, 4)
    assert sweep.resources.num_cpus == 2
    assert len(sweep.points) == 2 * 3 * 3 * 2
    assert sweep.layers == {"shallow": (64,), "deep": (256, 128, 64)}


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
        (
            ["activation=rleu"],
            f"unknown activation 'rleu'; choose from {', '.join(sorted(ACTIVATIONS))} (did you mean 'relu'?)",
        ),
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
        ([f"seeds=0,{2**62}"], "reserved"),
        (["compare=deep,shallow"], "compare belongs in a sweep file"),
        (["baseline=deep"], "baseline belongs in a sweep file"),
        (["validation_size=-1"], "validation_size must be a whole number of at least 0"),
        (["validation_size=0"], "needs validation images"),
        (["selection=validation_loss"], "would compare values of different functions"),
        (["selection=test_accuracy"], "unknown selection"),
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


def test_a_data_file_belongs_to_the_folder_of_whoever_names_it(tmp_path: Path) -> None:
    file = tmp_path / "a, b" / "x=1 #ü.TOML"
    file.parent.mkdir()
    file.write_text('dataset = "d.npz"\n')
    sweep = load_sweep(str(file))
    assert (sweep.dataset, sweep.folder) == ("d.npz", str(file.parent))
    sweep = load_sweep(str(file), ["dataset=e,1=2.NPZ"])
    assert (sweep.dataset, sweep.folder) == ("e,1=2.NPZ", ".")
    assert load_sweep("smoke", ["dataset=64.npz"]).dataset == "64.npz"
    assert load_sweep("smoke", ["dataset=64.npz"]).folder == "."
    assert read_sweep(sweep.tables()).folder is None
    assert read_sweep(sweep.tables()) == sweep  # what is the same sweep does not depend on where it lies


@pytest.mark.parametrize("file", ["mine.toml", "mine.TOML", "x/../mine", "./mine.Toml"])
def test_an_experiment_is_named_after_its_sweep_file_however_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / file).write_text("")
    assert load_sweep(file).name == "mine"


def test_a_data_file_at_an_address_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="copy it"):
        load_sweep("smoke", ["dataset=s3://bucket/d.npz"])


@pytest.mark.parametrize("name", ["mnist", "published", "smoke"])
def test_a_sweep_survives_json(name: str) -> None:
    sweep = load_sweep(name, ["learning_rate=0.1,0.01"])
    assert read_sweep(json.loads(json.dumps(sweep.tables()))) == sweep


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
    assert {"trial_id", "role", *changed} == {field.name for field in dataclasses.fields(base)}
    others = [dataclasses.replace(base, **{"trial_id": "", key: value}) for key, value in changed.items()]
    assert len({base.digest, *(other.digest for other in others)}) == len(changed) + 1
    assert all(other.trial_id.endswith(f"-{other.digest}") for other in (base, *others))
    assert dataclasses.replace(base, trial_id="", role=CONFIRMATION).trial_id == base.trial_id


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
    points = load_sweep("mnist").points
    assert points == list(
        itertools.product(
            HIDDEN_LAYERS,
            ("relu", "sigmoid", "tanh"),
            ("cross_entropy", "sparse_cross_entropy", "hinge"),
            (0.001,),
            (64,),
        )
    )


# ---- one form of a value


@pytest.mark.parametrize(
    "overrides",
    [
        ["learning_rate=1,1.0"],
        ["learning_rate=0.1,0.10"],
        ["learning_rate=0.01,1e-2,0.1"],
        ["learning_rate=0.3,0.30000000000000000001"],
        ["batch_size=64,064"],
        ["seeds=1,01"],
        ["seeds=0..3,2"],
    ],
)
def test_values_that_are_equal_numbers_are_a_repeat(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="repeats a value"):
        load_sweep("mnist", overrides)


@pytest.mark.parametrize("table", ["learning_rate = [1, 1.0]", 'depth = [64, "64"]', "batch_size = [8, 0x8]"])
def test_values_of_a_file_that_are_equal_are_a_repeat(tmp_path: Path, table: str) -> None:
    (tmp_path / "s.toml").write_text(f"[axes]\n{table}\n[layers]\n64 = [64]\n")
    with pytest.raises(ConfigError, match="repeats a value"):
        load_sweep(str(tmp_path / "s.toml"))


@given(st.floats(min_value=sys.float_info.min, allow_infinity=False), st.integers(1, 3))
def test_numbers_that_differ_have_names_that_differ(value: float, steps: int) -> None:
    other = value
    for _ in range(steps):
        other = math.nextafter(other, math.inf)
    assert float(value_name(value)) == value
    assert other == value or value_name(other) != value_name(value)


def test_a_rate_has_the_name_it_always_had_wherever_that_says_which_it_is() -> None:
    rates = {1.0: "1", 0.1: "0.1", 1e-05: "1e-05", 0.003: "0.003", 1e6: "1e+06", 0.1000000001: "0.1000000001"}
    assert {rate: value_name(rate) for rate in rates} == rates


def test_ids_of_close_values_say_which_is_which() -> None:
    sweep = load_sweep("smoke", ["learning_rate=0.1,0.1000000001", "depth=deep", "activation=relu", "loss=hinge"])
    ids = [trial.trial_id for trial in sweep.trials(dataset_sha256="0" * 64, engine="stacked")]
    assert [trial_id.rpartition("-")[0] for trial_id in ids] == [
        "deep-relu-hinge-lr0.1",
        "deep-relu-hinge-lr0.1000000001",
    ]


def test_the_same_values_in_another_writing_are_the_same_sweep(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[axes]\nlearning_rate = [1, 0.5]\nbatch_size = 32\n")
    sweep = load_sweep(str(tmp_path / "s.toml"))
    assert differences(sweep, load_sweep(str(tmp_path / "s.toml"), ["learning_rate=1.0,5e-1"])) == []
    assert {type(value) for value in sweep.axes[3].values} == {float}


# ---- text in


def test_names_of_depths_are_texts_wherever_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    layers = "[layers]\n64 = [64]\n1e5 = [5]\nnan = [6]\n0x10 = [7]\ntrue = [8]\n"
    file.write_text(f'[axes]\ndepth = ["64", "1e5", "nan", "0x10", "true"]\n{layers}')
    quoted = load_sweep(str(file))
    file.write_text(layers)
    assert load_sweep(str(file), ["depth=64,1e5,nan,0x10,true"]) == quoted
    file.write_text(f"[axes]\ndepth = [64]\n{layers}")
    assert load_sweep(str(file)).axes[0].values == ("64",)
    file.write_text(f"[axes]\ndepth = [1e5]\n{layers}")
    with pytest.raises(ConfigError, match="in quotes"):
        load_sweep(str(file))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_sweep_file_is_utf_8_with_or_without_a_mark_whatever_the_locale(
    tmp_path: Path, mark: bytes, newline: str
) -> None:
    text = "# Gr\u00f6\u00dfe\ndataset = 'digits'\nvalidation_size = 99\n".replace("\n", newline)
    (tmp_path / "s.toml").write_bytes(mark + text.encode())
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    finished = run_command("run", "s.toml", "--dry-run", cwd=tmp_path, variables=variables)
    assert finished.returncode == 0, finished.stderr
    assert "99 validation" in finished.stdout


@pytest.mark.parametrize(
    "content",
    [
        "name = 'x'".encode("utf-16"),
        "name = 'x'".encode("utf-16-le"),
        "name = '\u00e9'".encode("latin-1"),
        b"a = " + b"[" * 5000,
        b"epochs = " + b"9" * 5000,
        b"epochs = 0x" + b"f" * 5000,
        b"epochs = 1e999",
        b"seeds = [9223372036854775808]",
        b"[axes]\nlearning_rate = [1" + b"0" * 400 + b"]",
        b"[axes]\nlearning_rate = [1e-400]",
        b"[axes]\nlearning_rate = [1e-320]",
        b"[axes]\nbatch_size = [64.0]",
        b"[axes]\nbatch_size = [true]",
        b"[axes]\ndepth = [1979-05-27]",
        b"[axes]\ndepth = [[]]",
        b"[layers]\nwide = [99999999999999999999]",
    ],
)
def test_what_is_no_sweep_file_is_one_line_of_a_bearable_length(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_sweep(str(tmp_path / "s.toml"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_override_of_what_is_no_table_in_the_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("axes = 3\nresources = 4\n")
    for override in ("depth=deep", "num_cpus=2"):
        with pytest.raises(ConfigError, match="must be a table"):
            load_sweep(str(tmp_path / "s.toml"), [override])


def test_more_grid_points_than_anybody_can_train_are_refused_at_once() -> None:
    many = ",".join(str(number) for number in range(1, 2000))
    with pytest.raises(ConfigError, match="grid points"):
        load_sweep("mnist", [f"batch_size={many}", f"learning_rate={many}"])


def read_or_refused(read: Callable[[], SweepConfig]) -> SweepConfig | None:
    try:
        return read()
    except ConfigError as error:
        line = str(error)
    assert "\n" not in line
    return None


_VALUES = st.recursive(
    st.one_of(
        st.integers(),
        st.floats(allow_subnormal=False),
        st.booleans(),
        st.text(max_size=8),
        st.sampled_from(["deep", "relu", 2**63, 10**400]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
_KEYS = st.sampled_from(
    ["name", "dataset", "epochs", "seeds", "validation_size", "selection", "engine", "protocol", "axes", "layers",
     "resources"]
)  # fmt: skip
_AXES = st.sampled_from(["depth", "activation", "loss", "learning_rate", "batch_size", "num_gpus", "num_cpus"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.dictionaries(_KEYS, _VALUES | st.dictionaries(_AXES, _VALUES, max_size=3), max_size=4))
def test_whatever_a_sweep_file_says_it_is_a_sweep_or_one_line(tables: dict[str, object]) -> None:
    sweep = read_or_refused(lambda: read_sweep(tables))
    if sweep:
        assert read_sweep(json.loads(json.dumps(sweep.tables()))) == sweep


@settings(deadline=None)
@given(st.sampled_from(["depth", "loss", "learning_rate", "batch_size", "seeds", "epochs", "num_gpus"]), st.text())
def test_whatever_an_override_says_it_is_a_sweep_or_one_line(key: str, text: str) -> None:
    sweep = read_or_refused(lambda: load_sweep("smoke", [f"{key}={text}"]))
    assert sweep is None or len(sweep.trials(dataset_sha256="0" * 64, engine="stacked")) == len(sweep.points)


@pytest.mark.parametrize(
    ("given", "proposed"),
    [("my sweep", "my-sweep"), ("a/b", "a-b"), (".hidden", "hidden"), ("..", "mine"), ("\u5b57" * 99, "\u5b57" * 40)],
)
def test_a_refused_name_says_how_to_give_another(given: str, proposed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_experiment_name(given)
    assert str(caught.value).endswith(f"--name {proposed}")
    assert check_experiment_name(proposed) == proposed
