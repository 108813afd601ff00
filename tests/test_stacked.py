"""The stacked engine against the reference engine, on real images; then what a replicate's bits may not depend on."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loops import (
    ODD_SIZES,
    POINTS,
    assert_close_scores,
    assert_one_ulp,
    first,
    odd_training_split,
    point_trial,
    same_bits,
    training_split,
    trial,
)

from sweep.config import HIDDEN_LAYERS
from sweep.loops.contract import Loop, TrainingSplit, prepare_torch
from sweep.loops.stacked import ACTIVATIONS
from sweep.loops.stacked.loop import StackedLoop, stretches
from sweep.loops.torch import ReferenceLoop
from sweep.pieces import PRODUCTS

ENGINES = [ReferenceLoop, StackedLoop]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mnist() -> TrainingSplit:
    return training_split("mnist", 6400)


@pytest.fixture(scope="module")
def digits() -> TrainingSplit:
    return training_split("digits", 1437)


# -- Against the reference engine --


@pytest.mark.parametrize("depth", HIDDEN_LAYERS)
def test_both_engines_start_from_the_same_bits(mnist: TrainingSplit, depth: str) -> None:
    one, other = (engine(point_trial(depth, "relu", "hinge", seeds=(0, 7)), mnist) for engine in ENGINES)
    assert same_bits(one.state(), other.state())
    assert torch.equal(one.outputs(mnist.inputs[:1500]), other.outputs(mnist.inputs[:1500]))


@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_one_step_agrees_to_one_unit_in_the_last_place(
    mnist: TrainingSplit, depth: str, activation: str, loss: str
) -> None:
    batch = first(mnist, 64)
    one, other = (engine(point_trial(depth, activation, loss, seeds=(0, 1)), batch) for engine in ENGINES)
    assert_close_scores(one.train_epoch(1), other.train_epoch(1), 64)
    for key, value in one.state().items():
        assert_one_ulp(value.float(), other.state()[key].float())


@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_a_hundred_steps_agree_within_a_millionth(mnist: TrainingSplit, depth: str, activation: str, loss: str) -> None:
    one, other = (engine(point_trial(depth, activation, loss), mnist) for engine in ENGINES)
    assert_close_scores(one.train_epoch(1), other.train_epoch(1), 6400, flips=1)
    assert one.state()["steps"] == other.state()["steps"] == 100
    for key in ("parameters", "exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(one.state()[key], other.state()[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_final_accuracies_agree_over_seeds(digits: TrainingSplit, depth: str, activation: str, loss: str) -> None:
    one, other = (engine(point_trial(depth, activation, loss, seeds=(0, 1)), digits) for engine in ENGINES)
    for epoch in (1, 2):
        scores = one.train_epoch(epoch), other.train_epoch(epoch)
    # Which of two nearly equal logits is larger may turn on the last bit: allow 3 images of 1,437.
    assert_close_scores(*scores, 1437, flips=3)
    predictions = [engine.outputs(digits.inputs).argmax(2) for engine in (one, other)]
    assert bool(((predictions[0] != predictions[1]).sum(1) <= 3).all())


@pytest.mark.parametrize(
    ("num_images", "batch_size", "layers", "num_classes"),
    ODD_SIZES,
)
@pytest.mark.parametrize(("activation", "loss"), [("relu", "hinge"), ("sigmoid", "cross_entropy")])
def test_odd_sizes_agree_with_the_reference(
    mnist: TrainingSplit,
    num_images: int,
    batch_size: int,
    layers: tuple[int, ...],
    num_classes: int,
    activation: str,
    loss: str,
) -> None:
    training = odd_training_split(mnist, num_images, num_classes)
    config = trial(activation=activation, loss=loss, layers=layers, batch_size=batch_size, seeds=(0, 1))
    one, other = (engine(config, training) for engine in ENGINES)
    for epoch in (1, 2):
        assert_close_scores(one.train_epoch(epoch), other.train_epoch(epoch), num_images, flips=1)
    for key in ("parameters", "exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(one.state()[key], other.state()[key], rtol=0, atol=1e-6)
    assert one.state()["steps"] == other.state()["steps"]


@pytest.mark.parametrize(("before", "after"), [ENGINES, ENGINES[::-1]])
def test_a_state_of_one_engine_continues_in_the_other(
    digits: TrainingSplit, before: type[Loop], after: type[Loop]
) -> None:
    whole: Any = before
    whole = whole(trial(seeds=(0, 1)), digits)
    whole.train_epoch(1)
    handed_over: Any = after
    handed_over = handed_over(trial(seeds=(0, 1)), digits)
    handed_over.load_state(whole.state())
    assert same_bits(handed_over.state(), whole.state())
    assert_close_scores(handed_over.train_epoch(2), whole.train_epoch(2), 1437, flips=1)
    for key, value in whole.state().items():
        torch.testing.assert_close(handed_over.state()[key], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_divergence_gives_losses_that_are_not_finite_and_no_error(digits: TrainingSplit, engine: Any) -> None:
    diverging = engine(trial(activation="relu", learning_rate=1e30, layers=(12, 7, 5)), digits)
    losses = [diverging.train_epoch(epoch).loss.item() for epoch in (1, 2)]
    assert not all(math.isfinite(loss) for loss in losses)


# -- What a replicate's bits may not depend on --


STACKS = [(5, 1), (1, 5), (2, 1, 5), (9, 5, 0, 1, 2)]


def assert_independent_of_the_stack(
    training: TrainingSplit, config: dict[str, Any], products: str, stacks: list[tuple[int, ...]] = STACKS
) -> None:
    """Trains seed 5 alone, and among others in several places."""
    alone = StackedLoop(trial(**config, seeds=(5,)), training, products=products)
    alone_scores = [alone.train_epoch(epoch) for epoch in (1, 2)]
    for seeds in stacks:
        place = seeds.index(5)
        stacked = StackedLoop(trial(**config, seeds=seeds), training, products=products)
        scores = [stacked.train_epoch(epoch) for epoch in (1, 2)]
        assert same_bits(stacked.state(), alone.state(), place)
        for one, other in zip(scores, alone_scores, strict=True):
            assert one.loss[place] == other.loss[0]
            assert one.correct[place] == other.correct[0]
        assert torch.equal(stacked.outputs(training.inputs)[place], alone.outputs(training.inputs)[0])


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
@pytest.mark.parametrize(("layers", "batch_size"), [((128, 64), 64), ((13, 7), 25), ((), 11), ((3,), 1)])
def test_a_replicate_does_not_depend_on_the_stack(
    digits: TrainingSplit, activation: str, loss: str, layers: tuple[int, ...], batch_size: int, products: str
) -> None:
    config = {"activation": activation, "loss": loss, "layers": layers, "batch_size": batch_size}
    assert_independent_of_the_stack(first(digits, 151), config, products)


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("depth", HIDDEN_LAYERS)
def test_a_replicate_of_the_default_sweep_does_not_depend_on_the_stack(
    mnist: TrainingSplit, depth: str, products: str
) -> None:
    config = {"layers": HIDDEN_LAYERS[depth], "activation": "relu", "loss": "hinge"}
    assert_independent_of_the_stack(first(mnist, 1000), config, products)


@pytest.mark.parametrize("products", PRODUCTS)
def test_a_replicate_does_not_depend_on_the_stack_with_two_threads(mnist: TrainingSplit, products: str) -> None:
    prepare_torch(2)
    # Large enough that the kernels share their work out among the threads, and no multiple of their vectors.
    config = {"layers": (257, 130), "activation": "sigmoid", "loss": "cross_entropy", "batch_size": 333}
    assert_independent_of_the_stack(first(mnist, 1000), config, products, [(5, 1), (2, 1, 5)])


@settings(deadline=None, max_examples=15)
@given(
    st.integers(1, 90),
    st.integers(1, 40),
    st.lists(st.integers(1, 20), max_size=3),
    st.sampled_from(list(ACTIVATIONS)),
    st.sampled_from(["sparse_cross_entropy", "hinge"]),
    st.integers(2, 10),
    st.sampled_from(list(PRODUCTS)),
)
def test_any_shape_agrees_with_the_reference_and_does_not_depend_on_the_stack(
    num_images: int, batch_size: int, layers: list[int], activation: str, loss: str, num_classes: int, products: str
) -> None:
    generator = torch.Generator().manual_seed(num_images)
    training = TrainingSplit(
        inputs=torch.randn(num_images, 11, generator=generator),
        targets=torch.randint(0, num_classes, (num_images,), generator=generator),
        num_classes=num_classes,
    )
    config = {"layers": tuple(layers), "batch_size": batch_size, "activation": activation, "loss": loss}
    assert_independent_of_the_stack(training, config, products)
    one, other = (engine(trial(**config), training) for engine in ENGINES)
    assert_close_scores(one.train_epoch(1), other.train_epoch(1), num_images, flips=1)
    torch.testing.assert_close(one.state()["parameters"], other.state()["parameters"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("layers", [(128, 64), (13,)])
def test_an_interrupted_replicate_matches_an_uninterrupted_one(
    digits: TrainingSplit, layers: tuple[int, ...], products: str
) -> None:
    config = trial(layers=layers, seeds=(0, 1))
    whole = StackedLoop(config, digits, products=products)
    whole.train_epoch(1)
    resumed = StackedLoop(config, digits, products=products)
    resumed.load_state(whole.state())
    assert same_bits(resumed.state(), whole.state())
    one, other = resumed.train_epoch(2), whole.train_epoch(2)
    assert torch.equal(one.loss, other.loss)
    assert torch.equal(one.correct, other.correct)
    assert same_bits(resumed.state(), whole.state())


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("depth", HIDDEN_LAYERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_both_cross_entropies_are_the_same_to_the_last_bit(
    digits: TrainingSplit, depth: str, activation: str, products: str
) -> None:
    engines = [
        StackedLoop(point_trial(depth, activation, loss, seeds=(0, 1)), digits, products=products)
        for loss in ("cross_entropy", "sparse_cross_entropy")
    ]
    for epoch in (1, 2):
        one, other = (engine.train_epoch(epoch) for engine in engines)
        assert torch.equal(one.loss, other.loss)
        assert torch.equal(one.correct, other.correct)
    assert same_bits(engines[0].state(), engines[1].state())


# -- The contract --


def test_scores_and_state_have_the_shapes_of_the_contract(digits: TrainingSplit) -> None:
    one, other = (engine(trial(seeds=(0, 5, 9)), digits) for engine in ENGINES)
    scores = other.train_epoch(1)
    for value in (scores.loss, scores.correct, scores.train_time_s):
        assert value.shape == (3,)
        assert value.dtype == torch.float64
    assert bool((scores.train_time_s > 0).all())
    one.train_epoch(1)
    formats = [{key: (value.shape, value.dtype) for key, value in engine.state().items()} for engine in (one, other)]
    assert formats[0] == formats[1]
    assert other.outputs(digits.inputs[:17]).shape == (3, 17, 10)


def test_logits_leave_the_images_alone(digits: TrainingSplit) -> None:
    images = digits.inputs[:100].clone()
    StackedLoop(trial(layers=(), activation="relu"), digits).outputs(images)
    assert torch.equal(images, digits.inputs[:100])


def test_a_state_is_a_copy(digits: TrainingSplit) -> None:
    engine = StackedLoop(trial(), digits)
    state = engine.state()
    kept = {key: value.clone() for key, value in state.items()}
    engine.train_epoch(1)
    assert same_bits(state, kept)
    assert not same_bits(engine.state(), kept)


@pytest.mark.parametrize(("batch_size", "num_classes", "steps"), [(64, 10, 64), (512, 100, 5), (4096, 1000, 1)])
def test_logits_kept_for_scoring_are_bounded(batch_size: int, num_classes: int, steps: int) -> None:
    size, first_sample, end = next(stretches(1_000_000, batch_size, num_classes, in_cache=True))
    assert (size, first_sample, end) == (batch_size, 0, steps * batch_size)
