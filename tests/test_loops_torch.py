"""The reference engine: small cases by hand, then against a plain training loop, then what its bits may not depend on.

Its agreement with the stacked engine is in `test_stacked.py`.
"""

import math
from functools import partial

import pytest
import torch
from loops import same_bits
from loops import trial as default_trial
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sweep.datasets import load_dataset
from sweep.loops.contract import EpochScores, TrainingSplit
from sweep.loops.torch import ReferenceLoop, build_mlp, initial_parameters, layer_shapes, shuffle
from sweep.pieces import LOSSES

pytestmark = pytest.mark.usefixtures("one_thread")

trial = partial(default_trial, layers=(12, 7), activation="relu", engine="reference")


@pytest.fixture(scope="module")
def digits() -> TrainingSplit:
    split = load_dataset("digits").train
    return TrainingSplit(
        inputs=torch.from_numpy(split.images[:500]), targets=torch.from_numpy(split.labels[:500]), num_classes=10
    )


def test_first_step_moves_each_parameter_by_the_learning_rate_against_its_gradient() -> None:
    # One image (2, -3) of label 0, two classes, no hidden layer. Cross-entropy: the gradient of weight [c, d] is
    # (probability of c - target of c) x input d, so its sign is known; Adam's first step has the size of the rate.
    training = TrainingSplit(inputs=torch.tensor([[2.0, -3.0]]), targets=torch.tensor([0]), num_classes=2)
    engine = ReferenceLoop(trial(layers=(), learning_rate=0.01), training)
    before = engine.state()["parameters"][0]
    engine.train_epoch(1)
    step = engine.state()["parameters"][0] - before
    # Weights of class 0, of class 1, then both biases.
    expected = 0.01 * torch.tensor([1.0, -1.0, -1.0, 1.0, 1.0, -1.0])
    torch.testing.assert_close(step, expected, rtol=1e-4, atol=0)


def test_an_epoch_is_scored_before_each_update() -> None:
    # One batch, so the scores are those of the initial model.
    training = TrainingSplit(
        inputs=torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), targets=torch.tensor([0, 1, 1]), num_classes=2
    )
    engine = ReferenceLoop(trial(layers=(), learning_rate=1.0), training)
    probabilities = engine.outputs(training.inputs)[0].double().softmax(1)
    scores = engine.train_epoch(1)
    chosen = probabilities[torch.arange(3), training.targets]
    assert scores.loss.tolist() == pytest.approx([-chosen.log().mean().item()], rel=1e-6)
    assert scores.correct.tolist() == [(chosen > 0.5).double().mean().item()]


@pytest.mark.parametrize("loss", LOSSES)
def test_training_matches_a_plain_loop_with_unfused_adam(digits: TrainingSplit, loss: str) -> None:
    engine = ReferenceLoop(trial(loss=loss, seeds=(4,)), digits)
    shapes = layer_shapes(64, (12, 7), 10)
    model = build_mlp(shapes, "relu")
    vector_to_parameters(initial_parameters(shapes, 4), model.parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = nn.MultiMarginLoss() if loss == "hinge" else nn.CrossEntropyLoss()
    for epoch in (1, 2):
        total, correct = 0.0, 0
        for batch in shuffle(500, 4, epoch).split(64):
            logits = model(digits.inputs[batch])
            batch_loss = criterion(logits, digits.targets[batch])
            optimizer.zero_grad()
            batch_loss.backward()
            optimizer.step()
            total += batch_loss.item() * len(batch)
            correct += int((logits.argmax(1) == digits.targets[batch]).sum())
        scores = engine.train_epoch(epoch)
        assert scores.loss.item() == pytest.approx(total / 500, rel=1e-6)
        assert scores.correct.item() == correct / 500
    torch.testing.assert_close(
        engine.state()["parameters"][0], parameters_to_vector(model.parameters()).detach(), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(engine.outputs(digits.inputs)[0], model(digits.inputs).detach(), rtol=0, atol=1e-5)


def test_scores_and_state_have_the_shapes_of_the_contract(digits: TrainingSplit) -> None:
    engine = ReferenceLoop(trial(seeds=(0, 5, 9)), digits)
    scores = engine.train_epoch(1)
    assert isinstance(scores, EpochScores)
    for value in (scores.loss, scores.correct, scores.train_time_s):
        assert value.shape == (3,)
        assert value.dtype == torch.float64
    assert bool((scores.train_time_s > 0).all())
    num_parameters = 64 * 12 + 12 + 12 * 7 + 7 + 7 * 10 + 10
    state = engine.state()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "steps": (),
        **dict.fromkeys(("parameters", "exp_avg", "exp_avg_sq"), (3, num_parameters)),
    }
    assert state["steps"] == math.ceil(500 / 64)
    assert engine.outputs(digits.inputs[:17]).shape == (3, 17, 10)


def test_moments_of_an_untrained_engine_are_zero(digits: TrainingSplit) -> None:
    state = ReferenceLoop(trial(), digits).state()
    assert state["steps"] == 0
    assert not state["exp_avg"].any()
    assert not state["exp_avg_sq"].any()


def test_a_replicate_does_not_depend_on_those_beside_it(digits: TrainingSplit) -> None:
    together, alone = ReferenceLoop(trial(seeds=(3, 8)), digits), ReferenceLoop(trial(seeds=(8,)), digits)
    assert torch.equal(together.train_epoch(1).loss[1:], alone.train_epoch(1).loss)
    assert torch.equal(together.state()["parameters"][1:], alone.state()["parameters"])


def test_an_interrupted_replicate_matches_an_uninterrupted_one(digits: TrainingSplit) -> None:
    whole = ReferenceLoop(trial(seeds=(0, 1)), digits)
    whole.train_epoch(1)
    resumed = ReferenceLoop(trial(seeds=(0, 1)), digits)
    resumed.load_state(whole.state())
    assert same_bits(resumed.state(), whole.state())
    assert torch.equal(resumed.train_epoch(2).loss, whole.train_epoch(2).loss)
    assert same_bits(resumed.state(), whole.state())


def test_a_state_is_a_copy(digits: TrainingSplit) -> None:
    engine = ReferenceLoop(trial(), digits)
    state = engine.state()
    kept = {key: value.clone() for key, value in state.items()}
    engine.train_epoch(1)
    assert same_bits(state, kept)


def test_both_cross_entropies_train_to_the_same_bits(digits: TrainingSplit) -> None:
    engines = [ReferenceLoop(trial(loss=loss), digits) for loss in ("cross_entropy", "sparse_cross_entropy")]
    one, other = (engine.train_epoch(1) for engine in engines)
    assert same_bits(engines[0].state(), engines[1].state())
    assert torch.equal(one.correct, other.correct)
    assert torch.equal(one.loss, other.loss)


def test_divergence_gives_losses_that_are_not_finite_and_no_error(digits: TrainingSplit) -> None:
    engine = ReferenceLoop(trial(learning_rate=1e30, layers=(12, 7, 5)), digits)
    losses = [engine.train_epoch(epoch).loss.item() for epoch in (1, 2)]
    assert not all(math.isfinite(loss) for loss in losses)
