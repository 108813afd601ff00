"""The stacked engine on a CUDA device, as graphs: skipped where there is none."""

import threading

import pytest
import torch
from loops import POINTS, assert_close_scores, first, point_trial, same_bits, training_split, trial
from torch import Tensor

from sweep.config import HIDDEN_LAYERS, TrialConfig
from sweep.loops.contract import TrainingSplit
from sweep.loops.stacked import ACTIVATIONS, unfit
from sweep.loops.stacked.loop import StackedLoop
from sweep.loops.torch import ReferenceLoop

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.fixture(scope="module")
def mnist() -> TrainingSplit:
    return training_split("mnist", 6400)


@pytest.fixture(scope="module")
def digits() -> TrainingSplit:
    return training_split("digits", 1437)


def trained(config: TrialConfig, training: TrainingSplit, epochs: int = 2) -> dict[str, Tensor]:
    engine = StackedLoop(config, training, device="cuda")
    for epoch in range(1, epochs + 1):
        engine.train_epoch(epoch)
    return engine.state()


def test_the_self_check_passes() -> None:
    assert unfit("cuda") == ""


@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_a_few_steps_agree_with_the_reference_there(
    mnist: TrainingSplit, depth: str, activation: str, loss: str
) -> None:
    batches = first(mnist, 3 * 64 + 5)
    config = point_trial(depth, activation, loss, seeds=(0, 1, 2))
    one, other = (engine(config, batches, device="cuda") for engine in (ReferenceLoop, StackedLoop))
    assert_close_scores(one.train_epoch(1), other.train_epoch(1), len(batches.inputs), flips=1)
    states = one.state(), other.state()
    assert states[0]["steps"] == states[1]["steps"] == 4
    # Adam divides by the root of a gradient's square, so where a gradient is mere rounding a parameter may take another
    # step, of at most the learning rate; the moments may not.
    for key in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(states[0][key], states[1][key], rtol=1e-3, atol=1e-6)
    differences = (states[0]["parameters"] - states[1]["parameters"]).abs()
    assert differences.max() <= 4 * 0.001
    assert differences.mean() <= 1e-6


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_final_accuracies_agree_with_the_reference_there(digits: TrainingSplit, loss: str) -> None:
    config = trial(loss=loss, seeds=(0, 1))
    one, other = (engine(config, digits, device="cuda") for engine in (ReferenceLoop, StackedLoop))
    for epoch in (1, 2, 3):
        scores = one.train_epoch(epoch), other.train_epoch(epoch)
    torch.testing.assert_close(scores[0].loss, scores[1].loss, rtol=1e-4, atol=1e-6)
    assert bool(((scores[0].correct - scores[1].correct).abs() * 1437 <= 3.001).all())


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_the_same_trial_gives_the_same_bits_again(digits: TrainingSplit, loss: str) -> None:
    config = trial(loss=loss, seeds=(0, 1, 2))
    assert same_bits(trained(config, digits), trained(config, digits))


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_with_the_same_r_a_replicate_does_not_depend_on_its_place(digits: TrainingSplit, loss: str) -> None:
    one, other = (trained(trial(loss=loss, seeds=seeds), digits) for seeds in ((5, 1, 0), (2, 9, 5)))
    assert same_bits(one, other, row=0, other_row=2)


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_an_interrupted_replicate_matches_an_uninterrupted_one(digits: TrainingSplit, loss: str) -> None:
    config = trial(loss=loss, seeds=(0, 1))
    whole = trained(config, digits)
    resumed = StackedLoop(config, digits, device="cuda")
    resumed.load_state(trained(config, digits, epochs=1))
    resumed.train_epoch(2)
    assert same_bits(resumed.state(), whole)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", HIDDEN_LAYERS)
def test_both_cross_entropies_are_the_same_to_the_last_bit(digits: TrainingSplit, depth: str, activation: str) -> None:
    one, other = (
        trained(point_trial(depth, activation, loss, seeds=(0, 1)), digits)
        for loss in ("cross_entropy", "sparse_cross_entropy")
    )
    assert same_bits(one, other)


def test_engines_in_threads_give_the_numbers_of_one_after_the_other(digits: TrainingSplit) -> None:
    configs = [trial(activation=activation, seeds=(0, 1)) for activation in ACTIVATIONS]
    expected = [trained(config, digits, epochs=4) for config in configs]
    together: dict[int, dict[str, Tensor]] = {}

    def train(index: int) -> None:
        together[index] = trained(configs[index], digits, epochs=4)

    threads = [threading.Thread(target=train, args=(index,)) for index in range(len(configs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [same_bits(together[index], expected[index]) for index in range(len(configs))] == [True] * len(configs)


def test_no_step_of_an_epoch_waits_for_the_device(digits: TrainingSplit) -> None:
    engine = StackedLoop(trial(batch_size=7, seeds=(0, 1)), digits, device="cuda")
    engine.train_epoch(1)
    order = torch.stack([torch.randperm(1437) for _ in range(2)]).to("cuda")
    with torch.inference_mode(), engine._on_stream:
        torch.cuda.set_sync_debug_mode("error")
        try:
            sums = engine._train(order)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert bool((sums > 0).all())
