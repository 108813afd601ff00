"""Who is confirmed: fixed by the ranking alone, refused where nothing was selected; and what the plan makes of it."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import made_up_sweep, write_experiment

from sweep.axes import Point
from sweep.config import CONFIRMATION, FIRST_RESERVED_SEED
from sweep.errors import ConfigError, ExperimentError, UserError
from sweep.plan import check_same_confirmation, check_same_sweep, confirm_manifest, extend_manifest
from sweep.records import Experiment, Manifest, read_state
from sweep.report.ranking import find_finalists
from sweep.table import read_grid

DEPTHS = {"shallow": 0.90, "medium": 0.92, "deep": 0.94}
ACTIVATIONS = {"relu": 0.003, "tanh": 0.002, "sigmoid": 0.001}
Write = Callable[..., Experiment]


def by_depth(point: Mapping[str, Any], seed: int) -> float:
    wobble = (sum(map(ord, point["loss"] + point["activation"])) + seed) * 7 % 5
    return DEPTHS[point["depth"]] + ACTIVATIONS[point["activation"]] + 0.00001 * wobble


def alike(point: Mapping[str, Any], seed: int) -> float:
    digits = sum(map(ord, "".join(map(str, point.values())))) + 7 * seed
    return 0.9 + 0.001 * (digits % 11)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(score: Callable[..., float] = by_depth, **options: Any) -> Experiment:
        tables = options.pop("tables", {})
        rng = np.random.default_rng(0)
        return write_experiment(tmp_path / "e", score, rng=rng, sweep=made_up_sweep(**tables), test_size=40, **options)

    return made


def manifest_of(experiment: Experiment) -> Manifest:
    manifest = experiment.read_manifest()
    assert manifest
    return manifest


def words(points: tuple[Point, ...]) -> list[str]:
    return ["-".join(point[:3]) for point in points]


def test_finalists_are_the_first_of_the_ranking_and_twins_come_once(write: Write) -> None:
    finalists = find_finalists(read_state(write()), 3)
    assert words(finalists.points)[0] in ("deep-relu-cross_entropy", "deep-relu-hinge")
    assert {name.rpartition("-")[0] for name in words(finalists.points)} == {"deep-relu", "deep-tanh"}
    assert not any("sparse" in name for name in words(finalists.points))
    assert finalists.num_seeds == 5
    assert len(find_finalists(read_state(write()), 18).points) == 18
    assert len(find_finalists(read_state(write()), 1).points) == 1


@pytest.mark.parametrize(("score", "few"), [(by_depth, 2), (alike, 5)])
def test_without_a_number_they_are_those_that_cannot_be_told_apart_from_two_to_five(
    write: Write, score: Callable[..., float], few: int
) -> None:
    experiment = write(score)
    points = find_finalists(read_state(experiment), None).points
    assert len(points) == few
    grid = read_grid(read_state(experiment))
    best = grid.configurations[grid.ranked()[0][1]].points[0].name
    assert words(points)[0] == best.replace(" ", "-")


@pytest.mark.parametrize(
    ("options", "count", "kind", "advice"),
    [
        ({}, 19, ConfigError, "from 1 to 18"),
        ({"tables": {"seeds": [0]}}, None, ExperimentError, "add seeds with --extend"),
        ({"missing": ["deep-relu-hinge"]}, None, ExperimentError, "sweep resume e"),
        ({"failed": ["deep-relu-hinge"]}, 2, ExperimentError, "sweep resume e --failed"),
        (
            {"tables": {"axes": {"depth": ["deep"], "activation": ["relu"], "loss": ["hinge"]}}},
            1,
            ExperimentError,
            "nothing was selected",
        ),
    ],
)
def test_what_selected_nothing_is_refused_in_one_line(
    write: Write, options: dict[str, Any], count: int | None, kind: type[UserError], advice: str
) -> None:
    with pytest.raises(kind) as caught:
        find_finalists(read_state(write(**options)), count)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def confirmed(manifest: Manifest, which: slice = slice(2), num_seeds: int = 3) -> Manifest:
    points = [trial.point for trial in manifest.trials[which]]
    return confirm_manifest(manifest, points, num_seeds, command="sweep confirm e")


def test_a_confirmation_adds_trials_of_fresh_seeds_and_changes_nothing(write: Write) -> None:
    before = manifest_of(write())
    after = confirmed(before)
    assert after.compared == before.trials == before.compared
    assert after.trials[: len(before.trials)] == before.trials
    assert [trial.point for trial in after.confirmations] == [trial.point for trial in before.trials[:2]]
    assert {trial.seeds for trial in after.confirmations} == {tuple(FIRST_RESERVED_SEED + k for k in range(3))}
    assert all(trial.role == CONFIRMATION for trial in after.confirmations)
    assert len({trial.trial_id for trial in after.trials}) == len(after.trials)
    assert (after.sweep, after.axes, after.looks) == (before.sweep, before.axes, 1)
    assert after.commands == (*before.commands, "sweep confirm e")
    check_same_sweep(after, before.sweep)


def test_seeds_of_the_reserved_range_that_another_version_used_are_not_fresh(write: Write) -> None:
    manifest = manifest_of(write())
    used = dataclasses.replace(manifest.trials[0], trial_id="", seeds=(FIRST_RESERVED_SEED + 1,))
    manifest = dataclasses.replace(manifest, trials=(*manifest.trials, used))
    expected = (FIRST_RESERVED_SEED, FIRST_RESERVED_SEED + 2, FIRST_RESERVED_SEED + 3)
    assert confirmed(manifest).confirmations[0].seeds == expected


def test_a_finalist_that_is_no_grid_point_is_refused(write: Write) -> None:
    manifest = manifest_of(write())
    point = ("elsewhere", *manifest.trials[0].point[1:])
    with pytest.raises(ExperimentError):
        confirm_manifest(manifest, [point], 3, command="")


def test_the_confirmation_that_there_is_can_be_asked_for_and_no_other(write: Write) -> None:
    manifest = confirmed(manifest_of(write()))
    for count, num_seeds in ((None, None), (2, None), (None, 3), (2, 3)):
        check_same_confirmation(manifest, count=count, num_seeds=num_seeds)
    for count, num_seeds, option in ((3, None, "--count"), (1, 3, "--count"), (None, 4, "--seeds"), (2, 2, "--seeds")):
        with pytest.raises(ExperimentError, match=option) as caught:
            check_same_confirmation(manifest, count=count, num_seeds=num_seeds)
        assert "\n" not in str(caught.value)


def test_extending_leaves_the_confirmation_alone_and_counts_looks(write: Write) -> None:
    start = manifest_of(write(tables={"axes": {"depth": ["shallow", "deep"], "activation": ["relu"]}, "seeds": [0, 1]}))
    before = confirmed(start)
    seeds = made_up_sweep(axes={"depth": ["shallow", "deep"], "activation": ["relu"]}, seeds=[0, 1, 2])
    values = made_up_sweep(axes={"depth": ["shallow", "medium", "deep"], "activation": ["relu"]}, seeds=[0, 1, 2])
    more = extend_manifest(before, seeds, command="more seeds")
    wider = extend_manifest(more, values, command="more values")
    again = extend_manifest(wider, dataclasses.replace(values, seeds=(0, 1, 2, 5)), command="more seeds again")
    assert [manifest.looks for manifest in (start, before, more, wider, again)] == [1, 1, 2, 2, 3]
    assert {manifest.confirmations for manifest in (more, wider, again)} == {before.confirmations}
    assert again.sweep.seeds == (0, 1, 2, 5)
    for added, there in ((more, before), (wider, more), (again, wider)):
        assert added.trials[: len(there.trials)] == there.trials
    # Every grid point has every seed of the sweep once, whatever the confirmation has.
    covered: dict[tuple[Any, ...], list[int]] = {}
    for trial in again.compared:
        covered.setdefault(trial.point, []).extend(trial.seeds)
    assert {tuple(sorted(found)) for found in covered.values()} == {(0, 1, 2, 5)}
    assert len(covered) == 9


def test_what_was_named_beforehand_is_not_changed_by_extending(write: Write) -> None:
    axes = {"depth": ["shallow", "deep"], "activation": ["relu"], "loss": ["hinge"]}
    pair = [["deep", "shallow"]]
    manifest = manifest_of(write(tables={"axes": axes, "seeds": [0, 1], "compare": pair}))
    larger = {"axes": axes, "seeds": [0, 1, 2]}
    more = extend_manifest(manifest, made_up_sweep(**larger, compare=pair), command="")
    assert more.sweep.compare == manifest.sweep.compare
    for other in ({}, {"compare": pair, "baseline": "deep"}, {"compare": [["shallow", "deep"]]}):
        with pytest.raises(ExperimentError, match=r"compare|baseline") as caught:
            extend_manifest(manifest, made_up_sweep(**larger, **other), command="")
        assert "\n" not in str(caught.value)
    # Nor by axis values that make the name ambiguous in a file: what is written has the value of every axis.
    wide = {**axes, "loss": ["hinge", "cross_entropy"]}
    names = [["deep hinge", "shallow hinge"]]
    wider = extend_manifest(manifest, made_up_sweep(axes=wide, seeds=[0, 1], compare=names), command="")
    assert wider.sweep.compare == manifest.sweep.compare
