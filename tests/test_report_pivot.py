"""The grid as a table: which cell holds which number, for any axes."""

import numpy as np
import pytest
from made_up import made_up_sweep, write_experiment

from sweep.records import read_state
from sweep.report.analysis import analyse
from sweep.report.document import Paragraph
from sweep.report.grid import pivot
from sweep.report.text import bold, booktabs, markdown

DEPTHS, ACTIVATIONS = {"shallow": 0.90, "medium": 0.92, "deep": 0.94}, {"relu": 0.004, "sigmoid": 0.0, "tanh": 0.002}


def score(point, seed):
    # The mean over seeds 0 and 1 is depth + activation - learning rate.
    slower = point["learning_rate"] - 0.001
    return DEPTHS[point["depth"]] + ACTIVATIONS[point["activation"]] - slower + 0.001 * (2 * seed - 1)


@pytest.fixture
def made(tmp_path):
    def make(axes, **details):
        all_axes = {"depth": ["deep"], "activation": ["relu"], "loss": ["hinge"]} | axes
        sweep = made_up_sweep(seeds=[0, 1], axes=all_axes)
        experiment = write_experiment(
            tmp_path / "e", score, rng=np.random.default_rng(0), sweep=sweep, test_size=50, **details
        )
        blocks = pivot(analyse(read_state(experiment)))
        return [block for block in blocks if block]

    return make


def test_rows_are_combinations_of_the_first_axes_and_columns_the_last(made):
    (table,) = made({"depth": ["shallow", "deep"], "activation": ["relu", "tanh"], "learning_rate": [0.001, 0.011]})
    assert table.shown.to_numpy().tolist() == [
        ["shallow", "relu", "90.40", "89.40"],
        ["shallow", "tanh", "90.20", "89.20"],
        ["deep", "relu", bold("94.40"), "93.40"],
        ["deep", "tanh", "94.20", "93.20"],
    ]
    assert list(table.shown.columns) == ["depth", "activation", "learning_rate=0.001", "learning_rate=0.011"]
    assert table.exact.iloc[2, 2:].tolist() == pytest.approx([0.944, 0.934])


def test_one_axis_is_one_row(made):
    (table,) = made({"activation": ["relu", "tanh", "sigmoid"]})
    assert table.shown.to_dict("records") == [{"relu": bold("94.40"), "tanh": "94.20", "sigmoid": "94.00"}]


def test_an_axis_too_long_for_columns_becomes_rows_and_the_best_rows_are_shown(made):
    table, note = made({"learning_rate": [0.001 + k / 10_000 for k in range(45)]})
    assert isinstance(note, Paragraph)
    assert note.text.startswith("The 40 of 45 rows")
    assert list(table.shown.columns) == ["learning_rate", "validation accuracy (%)"]
    assert (len(table.shown), len(table.exact)) == (40, 45)
    assert table.shown.iloc[0, 1] == bold("94.40")


def test_the_names_of_twins_are_both_bold(made):
    (table,) = made({"activation": ["relu", "tanh"], "loss": ["cross_entropy", "sparse_cross_entropy"]})
    assert table.shown.iloc[0, 1:].tolist() == [bold("94.40"), bold("94.40")]


def test_cells_say_what_is_missing(made):
    axes = {"depth": ["shallow", "medium", "deep"], "activation": ["relu", "tanh"]}
    (table,) = made(axes, missing=["shallow-relu-hinge"], diverged=[("medium-tanh-hinge", 1)])
    assert table.shown.to_numpy().tolist() == [
        ["shallow", "–", "90.20"],
        ["medium", "92.40", "diverged"],
        ["deep", bold("94.40"), "94.20"],
    ]
    assert np.isnan(table.exact.iloc[0, 1])


def test_bold_cells_are_bold_in_latex_and_align_as_numbers(made):
    (table,) = made({"activation": ["relu", "tanh"]})
    assert r"\textbf{94.40} & 94.20 \\" in booktabs(table.shown, caption=table.title)
    assert markdown(table.shown).splitlines()[1] == "|----------:|-------:|"
