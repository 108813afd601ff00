"""Layer sizes, initial weights and shuffles: first by hand, then that they depend on what they should and no more."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from sweep.config import HIDDEN_LAYERS
from sweep.loops.torch import build_mlp, generator, initial_parameters, layer_shapes, shuffle

# Worked out by hand, such as 784 x 64 + 64 + 64 x 10 + 10.
NUM_PARAMETERS = {"shallow": 50_890, "medium": 109_386, "deep": 242_762}


def test_layer_shapes_are_outputs_by_inputs_from_first_to_last() -> None:
    assert layer_shapes(784, (256, 128, 64), 10) == [(256, 784), (128, 256), (64, 128), (10, 64)]
    assert layer_shapes(4, (), 2) == [(2, 4)]


@pytest.mark.parametrize("depth", HIDDEN_LAYERS)
def test_number_of_parameters_of_each_depth(depth: str) -> None:
    shapes = layer_shapes(784, HIDDEN_LAYERS[depth], 10)
    assert initial_parameters(shapes, 0).shape == (NUM_PARAMETERS[depth],)
    assert len(parameters_to_vector(build_mlp(shapes, "relu").parameters())) == NUM_PARAMETERS[depth]


@pytest.mark.parametrize(("name", "kind"), [("relu", nn.ReLU), ("sigmoid", nn.Sigmoid), ("tanh", nn.Tanh)])
def test_every_hidden_layer_is_followed_by_the_activation_and_the_output_by_none(
    name: str, kind: type[nn.Module]
) -> None:
    kinds = [type(module) for module in build_mlp(layer_shapes(5, (4, 3), 2), name)]
    assert kinds == [nn.Linear, kind, nn.Linear, kind, nn.Linear]


def test_model_without_hidden_layers_is_one_linear_layer() -> None:
    assert [type(module) for module in build_mlp(layer_shapes(5, (), 2), "tanh")] == [nn.Linear]


def test_weights_of_each_layer_lie_within_one_over_the_root_of_its_inputs() -> None:
    shapes = layer_shapes(784, HIDDEN_LAYERS["deep"], 10)
    parts = torch.split(initial_parameters(shapes, 3), [n for o, i in shapes for n in (o * i, o)])
    for (_, inputs), weight, bias in zip(shapes, parts[::2], parts[1::2], strict=True):
        bound = 1 / math.sqrt(inputs)
        assert weight.abs().max() <= bound
        assert bias.abs().max() <= bound
        # Uniform: the mean of |x| is half the bound; 640 values or more leave it within 5 %.
        assert weight.abs().mean().item() == pytest.approx(bound / 2, rel=0.05)


def test_initial_parameters_depend_on_the_seed_and_nothing_else() -> None:
    shapes = layer_shapes(20, (8,), 3)
    first = initial_parameters(shapes, 7)
    torch.manual_seed(99)
    assert torch.equal(initial_parameters(shapes, 7), first)
    assert not torch.equal(initial_parameters(shapes, 8), first)


def test_randomness_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    initial_parameters(layer_shapes(20, (8,), 3), 7)
    shuffle(100, 7, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_shuffle_visits_every_image_once() -> None:
    assert torch.equal(shuffle(1000, 0, 1).sort().values, torch.arange(1000))


def test_shuffles_differ_between_epochs_and_seeds() -> None:
    orders = {tuple(shuffle(50, seed, epoch).tolist()) for seed in range(5) for epoch in range(1, 6)}
    assert len(orders) == 25


def test_shuffle_is_the_same_whenever_it_is_asked_for() -> None:
    later = shuffle(50, 1, 9)
    assert torch.equal(shuffle(50, 1, 9), later)


def test_each_purpose_has_its_own_stream() -> None:
    draws = {torch.rand((), generator=generator(0, purpose)).item() for purpose in ("weights", "shuffle", "other")}
    assert len(draws) == 3


def test_randomness_of_a_seed_never_changes() -> None:
    # Recorded once. If these fail, every trial means other numbers: raise the version in `config`.
    assert shuffle(8, 0, 1).tolist() == [0, 1, 2, 5, 7, 6, 4, 3]
    assert initial_parameters([(1, 4)], 0).tolist() == [
        0.3812096118927002,
        0.34330081939697266,
        -0.20062345266342163,
        -0.20165002346038818,
        -0.2299354076385498,
    ]
