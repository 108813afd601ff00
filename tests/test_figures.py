import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from sweep.axes import Axis, Level
from sweep.figures import (
    Bar,
    Cost,
    Curve,
    Palette,
    broken,
    confusion_matrix,
    cost,
    critical_difference_diagram,
    difference_matrix,
    heat_map,
    image_strip,
    interactions,
    learning_curves,
    main_effects,
    ranking,
    shares,
    wall,
)
from sweep.metrics import Metric, Score
from sweep.tasks import TASKS

ACCURACY = next(metric for metric in TASKS["classification"].METRICS if metric.name == "accuracy")
SCORE = Score(metric=ACCURACY, split="validation")
AXES = (
    Axis(name="depth", values=("shallow", "deep"), scale="nominal"),
    Axis(name="activation", values=("relu", "tanh"), scale="nominal"),
    Axis(name="loss", values=("cross_entropy", "hinge"), scale="nominal"),
)
SHALLOW, DEEP = AXES[0].levels
RELU, TANH = AXES[1].levels
NAN = float("nan")


def draw_all():
    palette = Palette(AXES)
    bars = [Bar(name="shallow", estimate=0.9, low=0.89, high=0.91, values=(0.89, 0.91)),
            Bar(name="deep", estimate=0.95, low=NAN, high=NAN)]  # fmt: skip
    counts = np.array([[8, 2], [1, 9]])
    epochs = np.array([[0.8, 0.82], [0.9, 0.91]])
    point = Cost(
        rank=1,
        levels={"depth": DEEP, "activation": RELU},
        score=0.9,
        costs={"parameters": 10.0},
        on_front={"parameters": True},
    )
    images = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    return [
        ranking(bars, score=SCORE),
        main_effects({"depth": {SHALLOW: bars[0], DEEP: bars[1]}}, score=SCORE, palette=palette),
        interactions([{(DEEP, RELU): 0.9}], score=SCORE, palette=palette),
        heat_map(
            [("deep", np.array([[0.9, NAN]]))],
            rows=["relu"],
            columns=["a", "b"],
            score=SCORE,
            marked=[(0, 0, 0)],
        ),
        learning_curves(
            [Curve(row="", column="", level=DEEP, training=epochs, validation=epochs * NAN)],
            metric=ACCURACY,
            palette=palette,
        ),
        cost([point], score=SCORE, palette=palette),
        confusion_matrix(counts, target_names=["a", "b"], name="confusion", title="Confusion"),
        difference_matrix(counts, counts[::-1], target_names=["a", "b"], name="difference", title="Difference"),
        wall([("relu", counts), ("tanh", counts)], columns=2, titles=["deep"]),
        image_strip(images, ["1 → 2", "3 → 4", "5 → 6"], name="strip", title="Images", columns=2),
        critical_difference_diagram(["a", "b", "c"], [1.2, 1.8, 3.0], [(0, 1)], 0.9),
    ]


@pytest.fixture(scope="module")
def pictures():
    return draw_all()


def test_shares_divide_each_row_by_its_sum_and_leave_an_empty_class_at_zero():
    assert shares(np.array([[3, 1], [0, 0]])).tolist() == [[0.75, 0.25], [0.0, 0.0]]


def test_pictures_are_well_formed_and_named(pictures):
    for picture in pictures:
        root = ET.fromstring(picture.svg)
        assert root.tag.endswith("svg")
        assert root.get("role") == "img"
        assert root.get("aria-label") == picture.title


def test_ids_of_all_pictures_are_unique_and_every_reference_is_met(pictures):
    svg = "".join(picture.svg for picture in pictures)
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)) <= set(ids)


def test_ink_follows_the_page_and_a_file_stands_alone_on_white(pictures):
    for picture in pictures:
        assert "#010203" not in picture.svg
        assert "currentColor" not in picture.file()
        assert 'fill="#ffffff"' in picture.file()


def test_pictures_are_the_same_every_time(pictures):
    assert [picture.svg for picture in draw_all()] == [picture.svg for picture in pictures]


def test_numbers_are_text_in_percent(pictures):
    by_name = {picture.name: picture.svg for picture in pictures}
    assert "90.00" in by_name["heat-map"]
    assert "validation accuracy (%)" in by_name["ranking"]
    assert "80.0 %" in by_name["confusion"]


def test_a_metric_without_a_unit_is_drawn_as_it_is():
    score = Score(metric=Metric(name="loss", mode="min"), split="validation")
    bars = [Bar(name="deep", estimate=0.0625, low=0.05, high=0.075)]
    drawn = [
        ranking(bars, score=score),
        heat_map([("deep", np.array([[0.0625]]))], rows=["relu"], columns=["a"], score=score, marked=[]),
        main_effects({"depth": {DEEP: bars[0]}}, score=score, palette=Palette(AXES)),
    ]
    svg = "".join(picture.svg for picture in drawn)
    assert "validation loss<" in svg
    assert "effect on validation loss<" in svg
    assert "0.0625" in svg
    assert "%" not in svg


def test_numbers_in_texts_keep_all_their_digits():
    bars = [Bar(name="learning_rate=0.00075", estimate=0.9, low=0.89, high=0.91)]
    assert "learning_rate=0.00075<" in ranking(bars, score=SCORE).svg


def test_a_level_has_one_colour_and_twins_that_of_the_first():
    palette = Palette(AXES)
    assert palette.colour(Level(axis="loss", values=("cross_entropy", "hinge"))) == palette.colour(AXES[2].levels[0])
    colours = [palette.colour(level) for axis in AXES for level in axis.levels]
    assert len(set(colours)) == len(colours)


def test_long_levels_break_at_underscores_and_before_a_twin():
    assert broken("relu") == "relu"
    twins = Level(axis="loss", values=("cross_entropy", "sparse_cross_entropy"))
    assert broken(twins, 22) == "cross_entropy\n= sparse_cross_entropy"
    assert broken(Level(axis="learning_rate", values=(0.1, 1.0)), cell=True) == "0.1\n= 1"
    assert broken("sparse_cross_entropy", 9) == "sparse_\ncross_\nentropy"


@pytest.mark.parametrize("classes", [2, 30, 100])
def test_confusions_of_any_number_of_classes_stay_small(classes):
    counts = np.random.default_rng(0).integers(0, 3, (classes, classes)) + 50 * np.eye(classes, dtype=int)
    names = [f"class {number}" for number in range(classes)]
    picture = confusion_matrix(counts, target_names=names, name="confusion", title="Confusion")
    assert len(picture.svg) < 1_000_000
    assert ("class 1<" in picture.svg) == (classes <= 40)


@pytest.mark.parametrize("names", [("a", "a = b"), ("x = y", "x"), ("=", " = ")])
def test_a_level_whose_name_looks_like_twins_is_found(names):
    axis = Axis(name="depth", values=names, scale="nominal")
    palette = Palette([axis])
    assert [palette.position(level) for level in axis.levels] == [0, 1]
    assert palette.position(Level(axis="depth", values=names)) == 0
    assert palette.position(Level(axis="depth", values=names[::-1])) == 1


@pytest.mark.parametrize("name", ["x" * 130, "x" * 3000, "$\\frac{$", "$x$", "a\nb", "\\"])
def test_any_name_can_be_drawn(name):
    bars = [Bar(name=name, estimate=0.9, low=0.89, high=0.91), Bar(name="other", estimate=0.8, low=NAN, high=NAN)]
    counts = np.array([[8, 2], [1, 9]])
    axis = Axis(name="depth", values=(name, "other"), scale="nominal")
    pictures = [
        ranking(bars, score=SCORE),
        main_effects({"depth": dict(zip(axis.levels, bars, strict=True))}, score=SCORE, palette=Palette([axis])),
        heat_map([(name, np.array([[0.9]]))], rows=[name], columns=[name], score=SCORE, marked=[]),
        confusion_matrix(counts, target_names=[name, "other"], name="c", title="counts"),
        wall([(name, counts)], columns=3, titles=[name]),
        critical_difference_diagram([name, "other"], [1.0, 2.0], [], 0.5),
    ]
    for picture in pictures:
        ET.fromstring(picture.file().encode())
    assert len(name) > 200 or all(picture.width_px <= 2000 for picture in pictures)
