"""Grid points named beforehand: which name fits which, what is refused, and that nothing changes them later."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.axes import level_name, point_name
from sweep.config import AXES, SweepConfig, differences, load_sweep, read_sweep
from sweep.errors import ConfigError

SMALL = {
    "depth": ["shallow", "deep"],
    "activation": ["relu", "tanh"],
    "loss": ["hinge"],
    "learning_rate": [0.1, 1e-05, 1.0],
}
DEEP = {"depth": "deep", "activation": "relu", "loss": "hinge", "learning_rate": 1e-05, "batch_size": 64}


def sweep_of(axes: dict[str, Any] = SMALL, **tables: Any) -> SweepConfig:
    return read_sweep({"name": "s", "dataset": "digits", "axes": axes, **tables})


def baseline(given: Any, axes: dict[str, Any] = SMALL, **tables: Any) -> dict[str, Any]:
    return dict(zip(AXES, sweep_of(axes, baseline=given, **tables).baseline, strict=True))


@pytest.mark.parametrize(
    "name",
    [
        "deep-relu-learning_rate=1e-05",
        "learning_rate=1e-05 relu deep",
        "relu-learning_rate=1e-05-deep",
        "  deep relu - learning_rate=1e-05",
        "deep-relu-hinge-learning_rate=1e-05-batch_size=64",
        {"depth": "deep", "activation": "relu", "learning_rate": 1e-5},
        {"learning_rate": 0.00001, "batch_size": 64.0, "activation": "relu", "depth": "deep"},
    ],
)
def test_a_name_is_one_grid_point_however_it_is_written(name: Any) -> None:
    point = baseline(name)
    assert point == DEEP
    assert list(point) == list(AXES)
    assert [type(value) for value in point.values()] == [str, str, str, float, int]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deep-relu", "fits 3 grid points"),
        ({"depth": "deep"}, "fits 6 grid points"),
        ({}, "fits 12 grid points"),
        ("deep-rleu-learning_rate=0.1", "did you mean 'relu'?"),
        ("deep-relu-learning_rate=1e-06", "unknown level 'learning_rate=1e-06'"),
        ("deep-relu-learning_rate=1e", "did you mean 'learning_rate=1'?"),
        ("deeprelu", "unknown level 'deeprelu'"),
        ("deep-shallow-relu-learning_rate=0.1", "names no grid point"),
        ("deep-deep-relu-learning_rate=0.1", "names no grid point"),
        (" ".join(["deep"] * 1000), "names no grid point"),
        ("", "names no grid point"),
        ("-", "names no grid point"),
        ("deep\nrelu\x1b[1m", "unknown level"),
        ({"dept": "deep"}, "did you mean 'depth'?"),
        ({"depth": "dep"}, "did you mean 'deep'?"),
        ({"depth": "medium"}, "unknown depth 'medium'"),
        ({"learning_rate": "0.1"}, "unknown learning_rate '0.1'"),
        ({"batch_size": True}, "unknown batch_size 'True'"),
        ({"batch_size": 10**400}, "unknown batch_size"),
        ({"batch_size": [64]}, "unknown batch_size '[64]'"),
        (5, "must name a grid point"),
        (None, "must name a grid point"),
        (["deep"], "must name a grid point"),
    ],
)
def test_a_name_that_fits_not_exactly_one_is_one_line_that_says_what_to_write(name: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        baseline(name)
    assert str(caught.value).startswith("baseline")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_advice_of_a_name_that_fits_too_many_can_be_followed() -> None:
    with pytest.raises(ConfigError) as caught:
        baseline("deep")
    assert baseline(str(caught.value).rpartition("'")[0].rpartition("'")[2])["depth"] == "deep"


def test_a_depth_that_is_called_like_an_activation_is_told_apart_by_what_is_left() -> None:
    axes = {"depth": ["relu", "none", "1e"], "activation": ["relu", "tanh"], "loss": ["hinge"]}
    layers = {"relu": [4], "none": [], "1e": [5]}
    assert baseline("relu-tanh", axes, layers=layers)["depth"] == "relu"
    assert baseline("none-relu", axes, layers=layers)["depth"] == "none"
    assert baseline("1e-relu", axes, layers=layers)["depth"] == "1e"
    assert baseline("relu-relu", axes, layers=layers)["activation"] == "relu"
    both = {**axes, "depth": ["relu", "tanh"]}
    with pytest.raises(ConfigError, match=r"fits 2 grid points.*activation = "):
        baseline("relu-tanh", both, layers={"relu": [4], "tanh": [5]})


def test_a_depth_that_is_a_number_is_named_without_quotes() -> None:
    axes = {"depth": ["64", "32"], "activation": ["relu"], "loss": ["hinge"]}
    layers = {"64": [64], "32": [32]}
    assert baseline({"depth": 64}, axes, layers=layers)["depth"] == "64"
    assert baseline("32", axes, layers=layers)["depth"] == "32"


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ("deep", "list of pairs"),
        ({"deep": "shallow"}, "list of pairs"),
        (["deep", "shallow"], "list of pairs"),
        ([["deep"]], "list of pairs"),
        ([["a", "b", "c"]], "list of pairs"),
        ([["deep tanh learning_rate=1", {"depth": "deep", "activation": "tanh", "learning_rate": 1}]], "that differ"),
        ([[DEEP, {**DEEP, "depth": "shallow"}], [{**DEEP, "depth": "shallow"}, DEEP]], "repeats"),
        ([[DEEP, "deep"]], "fits 6"),
    ],
)
def test_pairs_that_say_nothing_are_one_line(compare: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        sweep_of(compare=compare)
    assert str(caught.value).startswith("compare")
    assert "\n" not in str(caught.value)


def test_pairs_keep_their_order_and_come_back_from_a_file_and_from_json(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'dataset = "digits"\nvalidation_size = 200\n'
        'compare = [["deep relu", { depth = "shallow", activation = "tanh" }], ["shallow-relu", "deep-relu"]]\n'
        'baseline = { depth = "shallow", activation = "relu" }\n'
        '[axes]\ndepth = ["shallow", "deep"]\nactivation = ["relu", "tanh"]\nloss = ["hinge"]\n'
    )
    sweep = load_sweep(str(file))
    names = [tuple(point_name(point, sweep.axes) for point in pair) for pair in sweep.compare]
    assert names == [("deep-relu", "shallow-tanh"), ("shallow-relu", "deep-relu")]
    assert point_name(sweep.baseline, sweep.axes) == "shallow-relu"
    assert read_sweep(json.loads(json.dumps(sweep.tables()))) == sweep
    # In a larger sweep the normal form means the same grid points; what the file says is whole no more.
    tables = sweep.tables()
    tables["axes"]["loss"] = ["hinge", "cross_entropy"]
    assert read_sweep(tables).compare == sweep.compare
    with pytest.raises(ConfigError, match="fits 2 grid points"):
        load_sweep(str(file), ["loss=hinge,cross_entropy"])
    with pytest.raises(ConfigError, match="unknown level 'deep'"):
        load_sweep(str(file), ["depth=shallow"])


def test_a_sweep_without_names_writes_none() -> None:
    assert not {"compare", "baseline"} & sweep_of().tables().keys()


def test_other_names_are_another_sweep_in_words() -> None:
    plain, named = sweep_of(), sweep_of(baseline=DEEP, compare=[[DEEP, {**DEEP, "depth": "shallow"}]])
    assert differences(named, dataclasses.replace(named)) == []
    for one, other in ((plain, named), (named, plain)):
        lines = differences(one, other)
        assert [line.partition(":")[0] for line in lines] == ["compare", "baseline"]
        assert all("deep-relu-hinge-learning_rate=1e-05" in line and "none" in line for line in lines)
        assert "{" not in "".join(lines)
    turned = sweep_of(baseline=DEEP, compare=[[{**DEEP, "depth": "shallow"}, DEEP]])
    assert len(differences(named, turned)) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_whole_name_of_every_grid_point_is_its_name(data: st.DataObject) -> None:
    depths = data.draw(st.lists(st.from_regex(r"[a-z0-9_]{1,3}", fullmatch=True), min_size=1, max_size=3, unique=True))
    rates = data.draw(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=3, unique=True))
    axes = {"depth": depths, "activation": ["relu", "tanh"], "loss": ["hinge"], "learning_rate": rates}
    sweep = sweep_of(axes, layers={depth: [4] for depth in depths})
    for point in sweep.points:
        words = data.draw(st.permutations([level_name(axis, value) for axis, value in zip(AXES, point, strict=True)]))
        for name in (" ".join(words), point_name(point, sweep.axes)):
            assert sweep_of(axes, layers={depth: [4] for depth in depths}, baseline=name).baseline == point
