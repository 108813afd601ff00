"""What a terminal shows: names give way to numbers, and are shown as they are."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from made_up import made_up_sweep, write_experiment
from rich.cells import cell_len
from rich.console import Console

from sweep import display
from sweep.axes import value_name
from sweep.display import Lines, LiveTable, make_console, ranking
from sweep.records import State, read_state
from sweep.table import read_grid

WIDTHS = (44, 50, 60, 80, 200)
LONG = "a_rather_descriptive_name_of_a_depth_0"
AXES = {
    "depth": [f"{LONG}1", f"{LONG}2"],
    "activation": ["relu", "tanh"],
    "loss": ["hinge", "sparse_cross_entropy"],
    "learning_rate": [0.001, 0.00010000000001],
    "batch_size": [16, 64],
}


def score(point: dict[str, object], seed: int) -> float:
    return 0.90 + 0.01 * (point["loss"] == "hinge") + 0.001 * seed


@pytest.fixture
def records(tmp_path: Path) -> State:
    sweep = made_up_sweep(axes=AXES, layers={f"{LONG}1": [4], f"{LONG}2": [8]}, seeds=[0, 1])
    return read_state(write_experiment(tmp_path / "e", score, sweep=sweep, rng=np.random.default_rng(0)))


def drawn(renderable: object, width: int) -> list[str]:
    """The lines that a console of a width prints."""
    console = make_console()
    console.width, console.file = width, io.StringIO()
    console.print(renderable)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_ranking_never_cuts_a_number_and_loses_no_letter_of_a_name(records: State, width: int) -> None:
    lines = drawn(ranking(records), width)
    assert all(cell_len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert len(re.findall(r"91\.05 ± 0\.07 +90\.5\d +\d\.\d", text)) == 16
    assert re.findall(r"^ {0,1}(\d+) ", text, re.MULTILINE) == ["1"] * 16 + ["17"] * 14
    # The column of names holds all of them, whatever lines it takes.
    start, end = lines[0].index("configuration"), lines[0].index("validation")
    rows = text.partition("... and 2 more")[0].splitlines()[1:]
    names = [" ".join(map(value_name, point.values)) for point in read_grid(records).points]
    column = "".join("".join(row[start : end - 3].split()) for row in rows)
    assert sum(name.replace(" ", "") in column for name in names) == 30


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_live_table_never_cuts_a_number(records: State, width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, markup=False, emoji=False)
    live = LiveTable(console)
    Lines.begin(live, records.manifest, list(records.manifest.trials))
    for trial in records.manifest.trials[:3]:
        live.show({"trial_id": trial.trial_id, "outcome": "started"})
        metrics = {"epoch": 12, "train_accuracy": 0.9876, "validation_accuracy": 0.9765, "train_time_s": 1.0}
        live.show({"trial_id": trial.trial_id, "outcome": "epoch", **metrics})
    lines = drawn(live._draw(), width)
    rows = [line for line in lines if "12/3" in line]
    assert len(rows) == 3
    assert all(row.split()[-5:] == ["98.76", "%", "97.65", "%", "running"] for row in rows)
    assert all(cell_len(line) <= width for line in lines)


def test_wide_letters_take_the_room_that_they_need(records: State) -> None:
    table = display.make_table(("#", "configuration", "test"), names=["configuration"])
    table.add_row("1", "\u5b57" * 60, "97.65")
    lines = drawn(table, 50)
    assert all(cell_len(line) <= 50 for line in lines)
    assert lines[1].split()[-1] == "97.65"
    assert sum(line.count("\u5b57") for line in lines) == 60


@pytest.mark.parametrize("name", ["[bold]", "[/x]", "[red]a[/red]", ":smile:", "a[b", "[link=http://x]y"])
def test_names_are_no_markup(name: str) -> None:
    table = display.make_table(("configuration",), names=["configuration"])
    table.add_row(name)
    assert drawn(table, 80)[1].strip() == name
    file = io.StringIO()
    console = make_console()
    console.file = file
    lines = Lines(console)
    lines.say(f"/data/{name}/x can be written")
    lines.warn(f"{name} is old")
    lines.show({"trial_id": "a-b", "outcome": "failed", "reason": f"ValueError: {name}"})
    assert file.getvalue().splitlines() == [
        f"/data/{name}/x can be written",
        f"warning: {name} is old",
        f"FAILED a-b: ValueError: {name} (trials/a-b/error.txt)",
    ]


@pytest.mark.parametrize("lost", [1, 2, 8])
def test_what_cannot_be_compared_is_said_in_words(tmp_path: Path, lost: int) -> None:
    depths = [f"d{number}" for number in range(8)]
    axes = {"depth": depths, "activation": ["relu"], "loss": ["hinge"]}
    sweep = made_up_sweep(axes=axes, layers={name: [4] for name in depths}, seeds=[0, 1])
    diverged = [(f"d{number}-relu-hinge", 1) for number in range(lost)]
    experiment = write_experiment(tmp_path / "e", score, sweep=sweep, rng=np.random.default_rng(0), diverged=diverged)
    lines = drawn(ranking(read_state(experiment)), 80)
    assert not re.search("nan|None|NA", "\n".join(lines))
    said = [line for line in lines if line.startswith("not compared: ")]
    assert said == [f"not compared: d{number} (diverged in 1 of 2 seeds)" for number in range(min(lost, 5))]
    assert ("... and 3 more that are not compared" in lines) == (lost == 8)
    assert sum(bool(re.match(r"\d+ d\d", line)) for line in lines) == 8 - lost
