import csv
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import sealed
from made_up import made_up_sweep, write_experiment
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from sweep.config import read_sweep
from sweep.examples.published import published_scores, reproduced
from sweep.records import read_state
from sweep.report import write_report
from sweep.report.analysis import analyse
from sweep.report.document import Drawing
from sweep.report.formats import duration, listed, numbered, p_text, significant
from sweep.report.provenance import provenance_section
from sweep.report.together import together
from sweep.tasks import TASKS

ARRAYS = TASKS["classification"].ARRAYS
LEVELS = {"shallow": 0.90, "medium": 0.92, "deep": 0.94, "relu": 0.004, "sigmoid": 0.0, "tanh": 0.002}


def score(point, seed):
    spread = np.random.default_rng([seed, len(point["depth"]), len(point["activation"]), len(point["loss"])]).normal()
    return LEVELS[point["depth"]] + LEVELS[point["activation"]] + 0.0005 * seed + 0.001 * spread


def constant(point, seed):
    return 0.9


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class Page(HTMLParser):
    """Ids, addresses and the order of tags of a page; a tag that is not closed is an error."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [values[name] for name in ("href", "src", "xlink:href", "action") if name in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_report(out):
    """What holds for every report, whatever the experiment."""
    page = (out / "report.html").read_text()
    found = Page(page)
    assert len(found.ids) == len(set(found.ids))
    for address in found.addresses:
        assert address.startswith(("#", "data:")) or (out / address).exists(), address[:80]
    assert not re.search("https?:", re.sub(r'xmlns(:xlink)?="http://www.w3.org/[^"]+"', "", page))
    readme = (out / "README.md").read_text()
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme):
        assert (out / picture).is_file()
    for text in (readme, re.sub(r"base64,[^\"]+", "", page)):
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b|Interval\(", text)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    assert size < 2_000_000
    return readme, page


def test_scores_of_a_test_split_that_lacks_a_class_are_those_of_scikit_learn(tmp_path, rng):
    """Also of an experiment whose records count the class as 0, as sweep 0.1.0 did."""
    y_true = np.arange(400) % 9
    sweep = made_up_sweep(axes={"depth": ["deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]}, seeds=[0, 1])
    split = (rng.integers(0, 256, (400, 8, 8), dtype=np.uint8), y_true)
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep, test_split=split)
    for trial_id, done in read_state(experiment).done.items():
        predictions = experiment.read_predictions(trial_id, ARRAYS)
        y_pred = np.where(predictions["y_pred"] == 9, 0, predictions["y_pred"])
        counts = np.stack([confusion_matrix(y_true, row, labels=range(10)) for row in y_pred])
        experiment.write_predictions(trial_id, predictions | {"y_pred": y_pred, "test_confusion": counts})
        old = zip(*(averages(y_true, row, labels=range(10)) for row in y_pred), strict=True)
        values = {("test", name): scores for name, scores in zip(("precision", "recall", "f1"), old, strict=True)}
        rows = [
            replace(one, values=[values[key]]) if (key := (one.split, one.metric)) in values else one
            for one in done.rows
        ]
        experiment.write_done(replace(done, rows=tuple(rows)))
    out = write_report([read_state(experiment)], tmp_path / "out").parent
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row in rows:
        y_pred = experiment.read_predictions(row["trial_id"], ARRAYS)["y_pred"][int(row["seed"])]
        ours = [float(row[name]) for name in ("precision", "recall", "f1")]
        np.testing.assert_allclose(ours, averages(y_true, y_pred))
        assert ours[1] > 0.9 > averages(y_true, y_pred, labels=range(10))[1]
    with (out / "tables" / "classes.csv").open() as file:
        classes = list(csv.DictReader(file))
    assert [row["images"] == "0" for row in classes] == [False] * 9 + [True]
    for column in ("precision (%)", "recall (%)", "F1 (%)"):
        assert [row[column] == "–" for row in classes] == [False] * 9 + [True]


def averages(y_true, y_pred, labels=None):
    return precision_recall_fscore_support(y_true, y_pred, labels=labels, average="macro", zero_division=0)[:3]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    experiment = write_experiment(folder / "e", score, rng=np.random.default_rng(0))
    assert write_report([read_state(experiment)], folder / "out") == folder / "out" / "report.html"
    return folder / "out"


def test_a_whole_report_has_every_part_in_order(whole):
    readme, _ = check_report(whole)
    titles = [line.split(". ", 1)[1] for line in readme.splitlines() if line.startswith("## ")]
    assert titles == [
        "Verdict",
        "Ranking",
        "What matters: effects of the axes",
        "Not distinguishable from the best",
        "Grid, learning curves, cost",
        "Confusion",
        "Control: one function under two names",
        "Provenance",
    ]
    files = {str(file.relative_to(whole)) for file in whole.rglob("*") if file.is_file()}
    assert {"results.csv", "history.csv", "tables/ranking.csv", "tables/ranking.tex", "figures/heat-map.svg"} <= files
    assert "Of 45 pairs of replicates with equal seeds, 45 have final parameters that are identical" in readme


def test_the_same_records_give_the_same_report(tmp_path, rng):
    sweep = made_up_sweep(axes={"depth": ["deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]})
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep)
    first, second = (write_report([read_state(experiment)], tmp_path / name).read_bytes() for name in ("one", "two"))
    assert first == second


def test_the_published_protocol_is_put_beside_the_published_table(tmp_path, rng):
    sweep = made_up_sweep(validation_size=0, selection="train_accuracy", protocol="published")
    published = published_scores(sweep.axes[:3])
    assert len(published) == 27
    assert published["deep", "relu", "sparse_cross_entropy"] == pytest.approx(0.9843)

    def near(point, seed):
        # Five runs whose prediction interval is mean ± 2.776 x 0.001 x sqrt(6 / 5) = ± 0.304 points.
        spread = np.array([-2, -1, 0, 1, 2])[seed] * 0.001 / np.sqrt(2.5)
        away = 0.01 if point["depth"] == "deep" else 0.0
        return published[point["depth"], point["activation"], "cross_entropy"] + spread - away

    experiment = write_experiment(tmp_path / "e", near, rng=rng, sweep=sweep)
    grid = analyse(read_state(experiment)).grid
    rows = reproduced(grid, grid.metric)
    cross_entropy = [row for row in rows if row.point.values[2] == "cross_entropy"]
    assert [row.inside for row in cross_entropy] == [True] * 6 + [False] * 3
    width = cross_entropy[0].ours.high - cross_entropy[0].ours.estimate
    assert width == pytest.approx(0.00304, abs=1e-5)
    write_report([read_state(experiment)], tmp_path / "out")
    readme, _ = check_report(tmp_path / "out")
    assert "The published accuracies are training accuracies" in readme
    assert "of three models only" in readme
    assert "published accuracies lie inside our 95 % prediction interval" in readme


@pytest.mark.slow
def test_an_unfinished_experiment_says_so_first_and_on_top(tmp_path, rng):
    experiment = write_experiment(
        tmp_path / "e",
        score,
        rng=rng,
        missing=["deep-relu-hinge"],
        failed=["deep-tanh-hinge"],
        diverged=[("shallow-relu-hinge", 2)],
    )
    write_report([read_state(experiment)], tmp_path / "out")
    readme, page = check_report(tmp_path / "out")
    assert readme.startswith("**INCOMPLETE 25/27: 1 failed and 1 not finished.**")
    assert page.index("INCOMPLETE 25/27") < page.index("<h1>")
    assert "made to fail" in readme
    assert "| shallow relu hinge | 1 of 5 seeds" in readme


CASES = {
    "one seed": ({"seeds": [0]}, {}),
    "two seeds": ({"seeds": [0, 1]}, {}),
    "no validation images": ({"validation_size": 0, "selection": "train_accuracy"}, {}),
    "one axis and epoch": (
        {"epochs": 1, "axes": {"depth": ["deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]}},
        {},
    ),
    "one grid point": ({"axes": {"depth": ["deep"], "activation": ["relu"], "loss": ["hinge"]}}, {}),
    "one grid point and seed": (
        {"axes": {"depth": ["deep"], "activation": ["relu"], "loss": ["hinge"]}, "seeds": [3]},
        {},
    ),
    "other axes": (
        {
            "axes": {
                "depth": ["deep", "shallow"],
                "activation": ["relu"],
                "loss": ["hinge"],
                "learning_rate": [0.01, 0.001],
                "batch_size": [32, 64, 128],
            }
        },
        {},
    ),
    "four axes": (
        {
            "axes": {
                "depth": ["deep", "shallow"],
                "activation": ["relu", "tanh"],
                "loss": ["hinge", "cross_entropy"],
                "learning_rate": [0.01, 0.001],
            }
        },
        {},
    ),
    "two classes": ({}, {"classes": 2}),
    "a hundred classes": ({}, {"classes": 100, "test_size": 1000}),
    "rows instead of images": ({}, {"input_shape": (12,)}),
    "coloured images and no twins": ({}, {"input_shape": (8, 8, 3), "twins": False}),
    "added seeds": ({"seeds": [0, 1]}, {"added_seeds": lambda point: (7, 8)}),
    "a grid point diverged in every seed": ({}, {"diverged": [("deep-relu-hinge", seed) for seed in range(5)]}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_report_says_what_cannot_be_said_instead_of_failing(case, tmp_path, rng):
    tables, details = CASES[case]
    small = {"axes": {"depth": ["shallow", "deep"], "activation": ["relu", "tanh"]}}
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=made_up_sweep(**(small | tables)), **details)
    write_report([read_state(experiment)], tmp_path / "out")
    check_report(tmp_path / "out")


@pytest.mark.slow
def test_a_later_report_in_the_same_folder_leaves_nothing_of_the_earlier(tmp_path, rng):
    axes = {"depth": ["shallow", "deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]}
    wide = write_experiment(tmp_path / "wide", score, rng=rng, sweep=made_up_sweep(axes=axes), test_size=50)
    narrow = made_up_sweep(axes=axes | {"depth": ["deep"]})
    one = write_experiment(tmp_path / "one", score, rng=rng, sweep=narrow, test_size=50)
    write_report([read_state(wide)], tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "confusion-shallow.svg").exists()
    (tmp_path / "out" / "figures" / "notes.svg").write_text("mine")
    write_report([read_state(one)], tmp_path / "out")
    write_report([read_state(one)], tmp_path / "fresh")
    left, fresh = (
        {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
        for out in (tmp_path / "out", tmp_path / "fresh")
    )
    assert left == fresh | {"figures/notes.svg"}


def test_numbers_as_a_reader_sees_them():
    assert [p_text(p) for p in (0.0004, 0.0234, 0.3)] == ["< 0.001", "0.023", "0.30"]
    assert [significant(value) for value in (242762, 4.5, 0.66, 0, 1e-9)] == ["242,762", "4.50", "0.660", "0", "0"]
    assert [duration(s) for s in (0.5, 62, 3723)] == ["0.500 s", "1 min 2 s", "1 h 2 min"]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed("abcdef", most=3) == "a, b and 4 more"
    assert numbered([0, 1, 2, 3]) == "0 to 3"
    assert numbered([0, 2, 5]) == "0, 2, 5"


def test_zero_variance_is_no_certainty(tmp_path, rng):
    sweep = made_up_sweep(axes={"depth": ["shallow", "deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]})
    experiment = write_experiment(tmp_path / "e", constant, rng=rng, sweep=sweep)
    write_report([read_state(experiment)], tmp_path / "out")
    readme, _ = check_report(tmp_path / "out")
    assert "Whether it is better than the others cannot be said" in readme


def test_nothing_finished_is_a_report_too(tmp_path, rng):
    sweep = made_up_sweep(axes={"depth": ["deep"], "activation": ["relu"], "loss": ["hinge"]})
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep, missing=["deep-relu-hinge"])
    write_report([read_state(experiment)], tmp_path / "out")
    readme, _ = check_report(tmp_path / "out")
    assert readme.startswith("**INCOMPLETE 0/1")
    assert "Nothing can be selected" in readme


def test_everything_right_leaves_nothing_to_confuse(tmp_path, rng):
    sweep = made_up_sweep(axes={"depth": ["deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]})
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep, test_score=lambda point, seed: 1.0)
    write_report([read_state(experiment)], tmp_path / "out")
    readme, _ = check_report(tmp_path / "out")
    assert "confuses no test image" in readme


def test_a_missing_or_damaged_predictions_file_costs_only_its_pictures(tmp_path, rng):
    sweep = made_up_sweep(axes={"depth": ["deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]})
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep)
    relu, tanh = (trial.trial_id for trial in read_state(experiment).manifest.trials)
    (tmp_path / "e" / "trials" / tanh / "predictions.npz").write_bytes(b"cut short")
    write_report([read_state(experiment)], tmp_path / "one")
    check_report(tmp_path / "one")
    (tmp_path / "e" / "trials" / relu / "predictions.npz").unlink()
    write_report([read_state(experiment)], tmp_path / "two")
    readme, _ = check_report(tmp_path / "two")
    assert "There are no predictions" in readme


def test_numbers_of_the_readme_are_those_of_the_csv(whole):
    with (whole / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["depth"], row["loss"]) == ("deep", "hinge")]
    relu = [float(row["validation_accuracy"]) for row in rows if row["activation"] == "relu"]
    readme = (whole / "README.md").read_text()
    line = next(line for line in readme.splitlines() if re.search(r"\| deep +\| relu +\| hinge", line))
    assert f"{100 * np.mean(relu):.2f}" in line
    assert " ".join(f"{100 * value:.2f}" for value in relu) in line


def test_an_image_that_is_wrong_is_never_labelled_with_its_own_class(tmp_path, rng):
    sweep = made_up_sweep(seeds=[0, 1, 2], axes={"depth": ["deep"], "activation": ["relu"], "loss": ["hinge"]})
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep, test_size=50)
    trial = read_state(experiment).manifest.trials[0].trial_id
    predictions = experiment.read_predictions(trial, ARRAYS)
    _, y_true = experiment.read_test_split()
    image = int(np.flatnonzero(y_true == 3)[0])
    # Wrong twice, but differently: the most frequent class is the true one, or as frequent as any.
    predictions["y_pred"][:, image] = 3, 8, 5
    experiment.write_predictions(trial, predictions)
    images = analyse(read_state(experiment)).of_task.images
    assert images.wrong[:, image].all()
    assert images.predicted[0].mistaken_for[image] == 5


def test_hostile_names_are_only_text(tmp_path, rng):
    sweep = made_up_sweep(axes={"depth": ["deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]})
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep, failed=["deep-tanh-hinge"])
    trial = read_state(experiment).manifest.trials[1].trial_id
    (tmp_path / "e" / "trials" / trial / "error.txt").write_text("ValueError: <script>alert(1)</script> | **x**")
    write_report([read_state(experiment)], tmp_path / "out")
    _, page = check_report(tmp_path / "out")
    assert "<script>alert" not in page


@pytest.mark.slow
def test_several_experiments_stand_side_by_side(tmp_path, rng):
    axes = {"depth": ["shallow", "deep"], "activation": ["relu", "tanh"], "loss": ["hinge"]}
    sweeps = [
        made_up_sweep(axes=axes),
        made_up_sweep(axes=axes, selection="train_accuracy", validation_size=0),
    ]
    experiments = [
        write_experiment(tmp_path / name, score, rng=rng, sweep=sweep)
        for name, sweep in zip(("first", "second"), sweeps, strict=True)
    ]
    write_report([read_state(experiment) for experiment in experiments], tmp_path / "out")
    readme, _ = check_report(tmp_path / "out")
    assert "first: validation accuracy (%)" in readme
    assert "second: training accuracy (%)" in readme
    assert "Ranks over data sets are not compared: first and second have the same data" in readme
    with (tmp_path / "out" / "tables" / "side-by-side.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["first_rank"] for row in rows] == ["1", "2", "3", "4"]
    best = f"{100 * float(rows[0]['first_validation_accuracy_mean']):.2f} (1)"
    assert best in readme
    for name in ("first", "second"):
        check_report(tmp_path / "out" / name)


def test_five_data_sets_give_a_critical_difference_diagram(tmp_path, rng):
    sweep = made_up_sweep(axes={"depth": ["shallow", "medium", "deep"], "activation": ["relu"], "loss": ["hinge"]})
    analyses = {}
    for number in range(5):
        experiment = write_experiment(
            tmp_path / f"e{number}", score, rng=rng, sweep=sweep, dataset_sha256=f"{number}" * 64
        )
        analyses[experiment.name] = analyse(read_state(experiment))
    assert pictures(together(analyses)) == ["critical-difference"]
    # The same data set five times is one piece of evidence, not five.
    assert pictures(together(dict.fromkeys(analyses, analyses["e0"]))) == []


def pictures(document):
    return [block.picture.name for block in document.blocks if isinstance(block, Drawing)]


def test_a_report_needs_neither_torch_nor_ray_and_the_package_imports_cheaply():
    code = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "ray"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import sweep.report
assert not {"matplotlib", "pandas", "scipy"} & set(sys.modules)
import sweep.report.writing, sweep.report.together
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_values_that_are_close_are_told_apart_wherever_they_are_named(tmp_path, rng):
    axes = {"depth": ["shallow", "deep"], "activation": ["relu"], "loss": ["hinge"]}
    axes["learning_rate"] = [0.1, 0.1000000001]
    one, other = (
        write_experiment(tmp_path / name, score, rng=rng, sweep=made_up_sweep(axes=axes), test_size=50)
        for name in ("one", "other")
    )
    page = write_report([read_state(one), read_state(other)], tmp_path / "out")
    for text in (page.read_text(), (tmp_path / "out" / "one" / "report.html").read_text()):
        Page(text)
        assert "0.1000000001" in text
    with (tmp_path / "out" / "tables" / "side-by-side.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["depth"], row["learning_rate"]) for row in rows} == {
        (depth, rate) for depth in ("shallow", "deep") for rate in ("0.1", "0.1000000001")
    }


def test_a_depth_called_like_a_picture_replaces_none(tmp_path, rng):
    depths = ["best", "difference", "other"]
    axes = {"depth": depths, "activation": ["relu"], "loss": ["hinge"]}
    sweep = made_up_sweep(axes=axes, layers={name: [size] for size, name in enumerate(depths, start=4)})
    experiment = write_experiment(
        tmp_path / "e", lambda point, seed: 0.9 + 0.01 * len(point["depth"]) / 10, rng=rng, sweep=sweep, test_size=50
    )
    page = write_report([read_state(experiment)], tmp_path / "out")
    texts = [file.read_text() for file in (page.parent / "figures").iterdir()]
    titles = [re.findall("aria-label=.(.*?)[\"']", text)[0] for text in texts]
    confusions = {title for title in titles if title.startswith("Confusion ")}
    assert confusions >= {f"Confusion matrix of {depth}" for depth in depths}
    assert len(confusions) == 4  # and the difference of two


@pytest.mark.parametrize("depth", ["../../../outside", "/outside", "a/b", "..", "x" * 500])
def test_the_name_of_a_picture_stays_inside_the_report(tmp_path, rng, depth):
    axes = {"depth": ["shallow", "deep"], "activation": ["relu"], "loss": ["hinge"]}
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=made_up_sweep(axes=axes), test_size=50)

    def edit(body):
        body["sweep"]["axes"][0]["values"][0] = depth
        for trial in body["trials"]:
            trial["depth"] = depth if trial["depth"] == "shallow" else trial["depth"]

    sealed.change(tmp_path / "e" / "manifest.json", edit)
    write_report([read_state(experiment)], tmp_path / "out" / "here")
    assert {path.name for path in tmp_path.iterdir()} == {"e", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"here"}
    assert len(list((tmp_path / "out" / "here" / "figures").glob("confusion-*.svg"))) == 3


def test_predictions_that_do_not_fit_the_experiment_are_left_out(tmp_path, rng):
    axes = {"depth": ["shallow", "deep"], "activation": ["relu"], "loss": ["hinge"]}
    sweep = made_up_sweep(axes=axes)
    experiment = write_experiment(tmp_path / "e", score, rng=rng, sweep=sweep, test_size=50)
    other = write_experiment(tmp_path / "other", score, rng=rng, sweep=sweep, test_size=60)
    best = "deep-relu-hinge"
    (trial_id,) = (trial.trial_id for trial in read_state(experiment).manifest.trials if best in trial.trial_id)
    file = f"trials/{trial_id}/predictions.npz"
    experiment.storage.write(file, other.storage.read(file))
    page = write_report([read_state(experiment)], tmp_path / "out").read_text()
    assert "There are no predictions of a selected configuration to look at." in page


def test_the_sweep_file_of_a_report_is_read_again_as_the_sweep(tmp_path, rng):
    axes = {"depth": ["deep", "64"], "activation": ["relu"], "loss": ["hinge"], "learning_rate": [1e-5, 1, 1e16]}
    named = {
        "baseline": {"depth": 64, "learning_rate": 1},
        "compare": [["deep-learning_rate=1e-05", "64-learning_rate=1"]],
    }
    sweep = made_up_sweep(axes=axes, layers={"64": [64]}, dataset="Gr\u00f6\u00dfe \U0001f600 \u5b57.npz", **named)
    records = read_state(write_experiment(tmp_path / "e", constant, rng=rng, sweep=sweep, test_size=50))
    blocks = provenance_section(analyse(records)).blocks
    (code,) = [block.text for block in blocks if getattr(block, "kind", "") == "code"]
    assert read_sweep(tomllib.loads(code)) == sweep


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["", "published"])
def test_an_interval_of_an_accuracy_ends_where_accuracies_end(tmp_path, rng, protocol):
    def far_apart(point, seed):
        return (0.02, 0.98)[(seed + len(point["depth"])) % 2]

    tables = {"validation_size": 0, "selection": "train_accuracy", "protocol": "published"} if protocol else {}
    axes = {"depth": ["shallow", "medium", "deep"], "activation": ["relu"], "loss": ["hinge", "cross_entropy"]}
    sweep = made_up_sweep(seeds=[0, 1], **({} if protocol else {"axes": axes}), **tables)
    experiment = write_experiment(tmp_path / "e", far_apart, rng=rng, sweep=sweep)
    # Without predictions the interval of the test accuracy is another one.
    (tmp_path / "e" / "test_split.npz").unlink()
    analysis = analyse(read_state(experiment))
    intervals = [
        analysis.test,
        *(entry.score for entry in analysis.entries),
        *(row.ours for row in reproduced(analysis.grid, analysis.metric) if protocol),
    ]
    assert len(intervals) >= 7
    assert {(interval.low, interval.high) for interval in intervals} == {(0.0, 1.0)}
    assert all(0 < interval.estimate < 1 for interval in intervals)
    write_report([read_state(experiment)], tmp_path / "out")
    readme, _ = check_report(tmp_path / "out")
    files = [*(tmp_path / "out" / "tables").glob("ranking.*"), *(tmp_path / "out" / "tables").glob("reproduction.*")]
    assert len(files) == (4 if protocol else 2)
    shown = {ends for file in files for ends in re.findall(r"([\d−-]+\.\d\d) to ([\d.]+)", file.read_text())}
    assert shown == {("0.00", "100.00")}
    assert "0.00 to 100.00" in readme
    with (tmp_path / "out" / "tables" / "ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    criterion = "train_accuracy" if protocol else "validation_accuracy"
    assert {(row[f"{criterion}_low"], row[f"{criterion}_high"]) for row in rows} == {("0.0", "1.0")}
    # A difference of accuracies is none, and is not cut.
    assert any(pair.entry.behind.low < -1 for pair in analysis.pairs)
