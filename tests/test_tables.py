import dataclasses

import numpy as np
import pandas as pd
import pytest
from made_up import made_up_sweep, write_experiment

from sweep.plan import confirm_manifest
from sweep.records import read_state
from sweep.report.text import bold, booktabs, code, csv, latex, link, markdown, marked_down, plain, spans
from sweep.table import history_table, read_grid, results_table

DEPTHS = {"shallow": 0.90, "medium": 0.92, "deep": 0.94}


def by_depth(point, seed):
    return DEPTHS[point["depth"]] + 0.001 * seed


def small(**tables):
    axes = {"depth": ["shallow", "deep"], "activation": ["relu"], "loss": ["cross_entropy", "sparse_cross_entropy"]}
    return made_up_sweep(**{"axes": axes, "seeds": [0, 1], "epochs": 2} | tables)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_results_have_one_row_per_replicate_with_the_columns_of_the_manual(tmp_path, rng):
    records = read_state(write_experiment(tmp_path / "e", by_depth, rng=rng))
    table = results_table(records)
    assert list(table.columns) == [
        *("trial_id", "depth", "activation", "loss", "learning_rate", "batch_size", "seed"),
        *("train_accuracy", "validation_accuracy", "test_accuracy", "precision", "recall", "f1", "train_time_s"),
    ]
    assert len(table) == 27 * 5
    row = table[(table.depth == "deep") & (table.activation == "tanh") & (table.loss == "hinge") & (table.seed == 3)]
    assert row.validation_accuracy.item() == 0.943
    assert row.test_accuracy.item() == pytest.approx(0.9375)  # 0.938 of 400 images is 375.2: 375


def test_history_has_one_row_per_replicate_and_epoch(tmp_path, rng):
    records = read_state(write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=small()))
    table = history_table(records)
    assert list(table.columns) == [
        *("trial_id", "depth", "activation", "loss", "learning_rate", "batch_size", "seed", "epoch"),
        *("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"),
    ]
    assert len(table) == 4 * 2 * 2
    one = table[(table.depth == "shallow") & (table.loss == "cross_entropy") & (table.seed == 1)]
    assert one.epoch.tolist() == [1, 2]
    assert one.validation_accuracy.tolist() == pytest.approx([0.901 * 0.95, 0.901])


def test_twins_are_one_configuration_named_together(tmp_path, rng):
    grid = read_grid(read_state(write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=small())))
    assert [configuration.name for configuration in grid.configurations] == [
        "shallow cross_entropy = sparse_cross_entropy",
        "deep cross_entropy = sparse_cross_entropy",
    ]
    assert grid.scores(grid.criterion).tolist() == [[0.9, 0.901], [0.94, 0.941]]


def test_equal_scores_alone_do_not_make_twins(tmp_path, rng):
    experiment = write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=small(), twins=False)
    assert len(read_grid(read_state(experiment)).configurations) == 4


def test_trials_of_one_grid_point_are_more_seeds_of_it(tmp_path, rng):
    experiment = write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=small(), added_seeds=lambda point: (7, 8))
    grid = read_grid(read_state(experiment))
    assert grid.seeds == (0, 1, 7, 8)
    assert grid.configurations[0].scores(grid.criterion).tolist() == pytest.approx([0.9, 0.901, 0.907, 0.908])


def test_a_seed_that_two_trials_have_counts_once(tmp_path, rng):
    experiment = write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=small(), added_seeds=lambda point: (1, 2))
    assert read_grid(read_state(experiment)).seeds == (0, 1, 2)


def test_failed_missing_and_diverged_points_are_left_out_with_the_reason(tmp_path, rng):
    experiment = write_experiment(
        tmp_path / "e",
        by_depth,
        rng=rng,
        failed=["deep-relu-hinge"],
        missing=["deep-tanh-hinge"],
        diverged=[("shallow-relu-hinge", 3)],
    )
    grid = read_grid(read_state(experiment))
    assert {point.name: reason for point, reason in grid.left_out} == {
        "deep relu hinge": "failed: RuntimeError: made to fail",
        "deep tanh hinge": "not finished",
    }
    assert [(one.point.name, one.count, one.n) for one in grid.diverged] == [("shallow relu hinge", 1, 5)]
    assert len(grid.points) == 27
    assert grid.seeds == (0, 1, 2, 3, 4)


def test_the_ranking_is_by_the_selection_score_and_never_by_the_test_score(tmp_path, rng):
    def reversed_on_test(point, seed):
        return 1.8 - by_depth(point, seed)

    experiment = write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=small(), test_score=reversed_on_test)
    grid = read_grid(read_state(experiment))
    ranked = [grid.configurations[k] for _, k in grid.ranked()]
    assert [configuration.cells["depth"] for configuration in ranked] == ["deep", "shallow"]
    assert [one.mean(grid.criterion) for one in ranked] == pytest.approx([0.9405, 0.9005])
    assert [one.mean(grid.tested) for one in ranked] == pytest.approx([0.86, 0.90], abs=0.002)


def test_nothing_finished_has_no_rank(tmp_path, rng):
    names = [f"{depth}-relu-{loss}" for depth in DEPTHS for loss in ("cross_entropy", "sparse_cross_entropy")]
    experiment = write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=small(), missing=names)
    grid = read_grid(read_state(experiment))
    assert grid.ranked() == []
    assert [reason for _, reason in grid.left_out] == ["not finished"] * 4


def test_booktabs_escapes_and_aligns_numbers_right():
    table = pd.DataFrame({"loss": ["cross_entropy", "hinge & co"], "accuracy (%)": ["98.02", "–"]})
    assert booktabs(table, caption="50 % of it") == "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            r"\caption{50 \% of it}",
            r"\begin{tabular}{lr}",
            r"\toprule",
            r"loss & accuracy (\%) \\",
            r"\midrule",
            r"cross\_entropy & 98.02 \\",
            r"hinge \& co & -- \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def test_markdown_keeps_texts_as_they_are_and_escapes_bars():
    table = pd.DataFrame({"name": ["a|b"], "value": ["98.10"]})
    assert markdown(table).splitlines() == ["| name   |   value |", "|:-------|--------:|", "| a\\|b   |   98.10 |"]


def test_csv_keeps_every_bit_and_leaves_missing_values_empty():
    table = pd.DataFrame({"score": [0.1 + 0.2, float("nan")]})
    assert csv(table) == 'score\n0.30000000000000004\n""\n'


def test_only_what_is_marked_stands_out():
    text = f"{bold('**a**')} and **b**, {code('`c`')}, [d](e), {link('[f]', 'g/h.html')}"
    assert [(span.kind, span.text, span.target) for span in spans(text)] == [
        ("bold", "**a**", ""), ("", " and **b**, ", ""), ("code", "`c`", ""), ("", ", [d](e), ", ""),
        ("link", "[f]", "g/h.html"),
    ]  # fmt: skip
    assert plain(text) == "**a** and **b**, `c`, [d](e), [f]"
    assert marked_down(text) == r"**\*\*a\*\*** and \*\*b\*\*, `` `c` ``, \[d\](e), [\[f\]](g/h.html)"
    assert latex(f"{bold('a_b')} {code('c%')} [d]") == r"\textbf{a\_b} \texttt{c\%} {[}d]"


@pytest.mark.parametrize(
    ("text", "markdown_text"),
    [
        ("cross_entropy, p < 0.001, 5 > 3, 50 %, A & B, C# (d) - 1. + 2!", None),
        ("__init__ _x _", r"\_\_init\_\_ \_x \_"),
        ("<b> &lt; &#60; &amp", r"\<b> \&lt; \&#60; &amp"),
        ("https://a.example www.a.example", r"https\://a.example www\.a.example"),
        ("~~a~~ $b$ # c | d \\", r"\~\~a\~\~ \$b\$ \# c \| d \\"),
    ],
)
def test_markdown_means_the_text_it_is_made_of(text, markdown_text):
    assert marked_down(text) == (markdown_text or text)


def test_a_text_that_a_spreadsheet_would_compute_is_a_text_in_csv():
    table = pd.DataFrame(
        {"=a": ["=1+1", "@x", "-1+cmd", "+0.16", "-0.5", "\u22120.5", "- a", "b=c"], "n": range(-8, 0)}
    )
    lines = csv(table).splitlines()
    assert lines[0] == "'=a,n"
    cells = [line.rsplit(",", 1) for line in lines[1:]]
    assert [text for text, _ in cells] == [
        "'=1+1", "'@x", "'-1+cmd", "+0.16", "-0.5", "\u22120.5", "'- a", "b=c",
    ]  # fmt: skip
    assert cells[0][1] == "-8"


def test_equal_means_have_equal_ranks_whatever_order_the_scores_came_in(tmp_path, rng):
    # Sums of the same numbers in three orders, of which two differ in their last bit.
    orders = {"shallow": (0.1, 0.2, 0.3), "medium": (0.3, 0.2, 0.1), "deep": (0.2, 0.3, 0.1)}
    assert len({sum(values) for values in orders.values()}) > 1
    sweep = made_up_sweep(
        axes={"depth": list(orders), "activation": ["relu", "tanh"], "loss": ["hinge"]}, seeds=[0, 1, 2]
    )

    def score(point, seed):
        return orders[point["depth"]][seed] if point["activation"] == "relu" else 0.1 * (len(point["depth"]) - 3)

    grid = read_grid(read_state(write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep)))
    ranked = grid.ranked()
    # 0.1 x (7 - 3) is the largest, then 0.3 of medium, the three means of 0.2, and 0.1.
    assert [rank for rank, _ in ranked] == [1, 2, 3, 3, 3, 6]
    assert [grid.configurations[k].cells["depth"] for rank, k in ranked if rank == 3] == list(orders)


def test_values_that_are_close_are_levels_and_columns_of_their_own(tmp_path, rng):
    rates = [0.1, 0.1000000001, 0.30000000000000004, 0.3]
    sweep = small(axes={"depth": ["deep"], "activation": ["relu"], "loss": ["hinge"], "learning_rate": rates})
    records = read_state(write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=sweep))
    grid = read_grid(records)
    assert [str(level) for level in grid.levels("learning_rate")] == [
        *("learning_rate=0.1", "learning_rate=0.1000000001"),
        *("learning_rate=0.30000000000000004", "learning_rate=0.3"),
    ]
    assert len(grid.configurations) == 4
    assert sorted(level.cell for level in grid.levels("learning_rate")) == sorted(map(repr, rates))
    assert sorted(set(results_table(records).learning_rate)) == sorted(rates)


def test_fresh_seeds_are_in_no_table_and_large_seeds_are_whole_numbers(tmp_path, rng):
    experiment = write_experiment(tmp_path / "e", by_depth, rng=rng, sweep=small())
    records = read_state(experiment)
    before = [csv(make(records)) for make in (results_table, history_table)]
    manifest, trial = records.manifest, records.manifest.trials[0]
    confirmed = confirm_manifest(manifest, [trial.point], 2, command="")
    (extra,) = confirmed.confirmations
    fresh = [
        dataclasses.replace(replicate, seed=seed)
        for seed, replicate in zip(extra.seeds, records.done[trial.trial_id].replicates, strict=True)
    ]
    record = dataclasses.replace(records.done[trial.trial_id], trial_id=extra.trial_id, replicates=tuple(fresh))
    records = dataclasses.replace(records, manifest=confirmed, done={**records.done, extra.trial_id: record})
    assert [csv(make(records)) for make in (results_table, history_table)] == before
    # As another version may have let a user ask for them.
    given = [dataclasses.replace(trial, role="") for trial in confirmed.trials]
    records = dataclasses.replace(records, manifest=dataclasses.replace(confirmed, trials=tuple(given)))
    for table in (results_table, history_table):
        assert {f",{seed}," in csv(table(records)) for seed in extra.seeds} == {True}
    assert set(extra.seeds) <= set(results_table(records).seed)
