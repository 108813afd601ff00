"""Steps with the products of each library: against float64, then what a replicate's bits may not depend on, and which
library is chosen."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loops import (
    ODD_SIZES,
    POINTS,
    first,
    odd_training_split,
    point_trial,
    same_bits,
    training_split,
    trial,
)
from torch import Tensor

from sweep import pieces, plan
from sweep.config import HIDDEN_LAYERS, TrialConfig, load_sweep
from sweep.datasets import Dataset
from sweep.doctor import describe_products
from sweep.errors import ConfigError, ExperimentError
from sweep.loops import stacked
from sweep.loops.contract import TrainingSplit, prepare_torch
from sweep.loops.stacked import kept_in
from sweep.loops.stacked import products as library
from sweep.loops.stacked.loop import StackedLoop
from sweep.loops.stacked.products import CutNumpyStep, fastest, measure, numpy_library, tile, tiles
from sweep.loops.torch import ReferenceLoop
from sweep.pieces import PRODUCTS
from sweep.records import Experiment, Manifest, read_state
from sweep.storage import LocalStorage
from sweep.trial import TrialRun, describe_worker, fingerprint, run_trial
from sweep.verify import retrain, verify

NUMPY = [name for name in PRODUCTS if name != "torch"]
DISTINCT = [point for point in POINTS if "sparse" not in point[2]]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mnist() -> TrainingSplit:
    return training_split("mnist", 6400)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, with an answer of the self-check that allows every library."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    allow(*PRODUCTS)
    yield tmp_path / "cache" / "sweep"
    stacked._found.cache_clear()


def allow(*names: str) -> None:
    """Keeps an answer of the self-check that refuses all other libraries."""
    answer = {name: "" if name in names else f"{name} is not here" for name in PRODUCTS}
    file = kept_in("cpu")
    LocalStorage(file.parent).write(file.name, json.dumps(answer).encode())
    stacked._found.cache_clear()


# -- The numbers --


def in_float64(config: TrialConfig, training: TrainingSplit) -> ReferenceLoop:
    loop = ReferenceLoop(config, dataclasses.replace(training, inputs=training.inputs.double()))
    for model in loop._models:
        model.double()
    return loop


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_gradients_are_those_of_float64(
    mnist: TrainingSplit, depth: str, activation: str, loss: str, products: str
) -> None:
    config, batch = point_trial(depth, activation, loss, seeds=(0, 1)), first(mnist, 64)
    exact, loop = in_float64(config, batch), StackedLoop(config, batch, products=products)
    expected, scores = exact.train_epoch(1), loop.train_epoch(1)
    torch.testing.assert_close(scores.loss, expected.loss, rtol=1e-6, atol=1e-6)
    assert torch.equal(scores.correct, expected.correct)
    # Adam's first moment is a tenth of the gradient after one step.
    torch.testing.assert_close(loop.state()["exp_avg"].double(), exact.state()["exp_avg"], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("products", NUMPY)
@pytest.mark.parametrize(("depth", "activation", "loss"), DISTINCT)
def test_a_hundred_steps_stay_with_float64(
    mnist: TrainingSplit, depth: str, activation: str, loss: str, products: str
) -> None:
    config = point_trial(depth, activation, loss, seeds=(0, 1))
    exact, loop = in_float64(config, mnist), StackedLoop(config, mnist, products=products)
    expected, scores = exact.train_epoch(1), loop.train_epoch(1)
    # Where rounding turns a ReLU on or off, the weights of that unit go other ways, whichever library multiplies.
    torch.testing.assert_close(scores.loss, expected.loss, rtol=1e-2 if activation == "relu" else 1e-5, atol=0)
    differences = (loop.state()["parameters"] - exact.state()["parameters"]).abs()
    assert activation == "relu" or differences.max() < 3e-4


@pytest.mark.parametrize("products", NUMPY)
@pytest.mark.parametrize("sizes", ODD_SIZES)
@pytest.mark.parametrize(("activation", "loss"), [("relu", "hinge"), ("sigmoid", "cross_entropy")])
def test_odd_sizes_are_as_near_to_float64_as_the_reference(
    mnist: TrainingSplit, sizes: tuple[int, int, tuple[int, ...], int], activation: str, loss: str, products: str
) -> None:
    num_images, batch_size, layers, num_classes = sizes
    training = odd_training_split(mnist, num_images, num_classes)
    config = trial(activation=activation, loss=loss, layers=layers, batch_size=batch_size, seeds=(0, 1))
    loops = (in_float64(config, training), ReferenceLoop(config, training))
    exact, *others = (*loops, StackedLoop(config, training, products=products))
    for epoch in (1, 2):
        expected, _, scores = (loop.train_epoch(epoch) for loop in (exact, *others))
        torch.testing.assert_close(scores.loss, expected.loss, rtol=1e-3, atol=0)
        assert float((scores.correct - expected.correct).abs().max()) * num_images < 1.5  # an image
    of_reference, ours = (
        float((one.state()["parameters"] - exact.state()["parameters"]).abs().max()) for one in others
    )
    # Sums of hinge's gradients that should be 0 are rounded to something, and Adam makes whole steps of it.
    assert max(of_reference, ours) < (5e-3 if loss == "hinge" else 1e-5)
    assert others[1].state()["steps"] == exact.state()["steps"]


@pytest.mark.parametrize("products", NUMPY)
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_losses_that_are_not_finite_are_found_and_are_no_error(mnist: TrainingSplit, loss: str, products: str) -> None:
    config = point_trial("medium", "relu", loss)
    diverging = StackedLoop(dataclasses.replace(config, learning_rate=1e30), mnist, products=products)
    losses = [diverging.train_epoch(epoch).loss.item() for epoch in (1, 2)]
    assert not all(map(math.isfinite, losses))


# -- Tiles --

SIZES = st.integers(1, 300)


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES, st.integers(1, 900), st.booleans())
def test_tiles_make_up_the_product(rows: int, columns: int, depth: int, transposed: bool) -> None:
    size = tile(rows, columns, depth, transposed=transposed)
    assert (rows % size[0], columns % size[1]) == (0, 0)
    assert size == (rows, columns) or size[0] * size[1] * depth <= 1_000_000
    assert size == (rows, columns) or not transposed or size[0] * size[1] <= 1200
    draw = torch.Generator().manual_seed(rows)
    left, out = torch.randn(2, rows, depth, generator=draw), torch.zeros(2, rows, columns)
    right = torch.randn(*((2, columns, depth) if transposed else (2, depth, columns)), generator=draw)
    right = right.mT if transposed else right
    one, other, into = (tensor.numpy() for tensor in tiles(left, right, out))
    np.matmul(one, other, into)
    torch.testing.assert_close(out, left @ right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sizes", "transposed", "expected"),
    [
        ((64, 64, 784), True, (32, 32)),
        ((64, 256, 784), True, (32, 32)),
        ((64, 10, 64), True, (64, 10)),  # small as it is
        ((256, 784, 64), False, (128, 112)),
        ((64, 256, 128), False, (64, 64)),
        ((64, 16, 10**6), True, (64, 16)),  # no tile of it is small
        ((97, 101, 500), False, (97, 101)),  # primes
    ],
)
def test_how_a_product_is_cut_is_fixed(
    sizes: tuple[int, int, int], transposed: bool, expected: tuple[int, int]
) -> None:
    assert tile(*sizes, transposed=transposed) == expected


def shifted(shape: tuple[int, ...], offset: int, values: Tensor) -> Tensor:
    """Values in a buffer that starts at an address of 64 bytes times something plus an offset."""
    buffer = torch.zeros(math.prod(shape) + 64)
    start = -(buffer.data_ptr() // 4) % 16 + offset // 4
    return buffer[start : start + math.prod(shape)].view(shape).copy_(values)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "depth"), [(64, 128, 784), (256, 784, 64), (64, 10, 64), (1, 64, 64), (1, 64, 10)]
)
def test_a_product_does_not_depend_on_where_its_operands_lie(cut: bool, rows: int, columns: int, depth: int) -> None:
    draw = torch.Generator().manual_seed(0)
    values = [torch.randn(*shape, generator=draw) for shape in ((rows, depth), (depth, columns), (columns, depth))]
    results: list[list[Tensor]] = [[], []]
    for offset in (0, 4, 12, 32, 44, 64):
        left, right, transpose = (shifted(tuple(each.shape), offset, each) for each in values)
        for found, factor in zip(results, (right, transpose.t()), strict=True):
            out = shifted((rows, columns), offset, torch.zeros(rows, columns))
            operands = tiles(left, factor, out) if cut else (left, factor, out)
            np.matmul(*(tensor.numpy() for tensor in operands))
            found.append(out.clone())
    assert all(torch.equal(one, found[0]) for found in results for one in found)


# -- What a replicate's bits may not depend on --


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("depth", HIDDEN_LAYERS)
def test_neighbours_with_more_threads_change_nothing(mnist: TrainingSplit, depth: str, products: str) -> None:
    config, training = point_trial(depth, "tanh", "hinge", seeds=(3, 4)), first(mnist, 640)
    calm = StackedLoop(config, training, products=products)
    calm.train_epoch(1)
    for num_threads in (2, 1):  # as another trial in this process may have set them before
        prepare_torch(num_threads)
        StackedLoop(config, training, products=products).train_epoch(1)
    again = StackedLoop(config, training, products=products)
    again.train_epoch(1)
    assert same_bits(calm.state(), again.state())


def test_the_threads_of_numpys_library_follow_too() -> None:
    for num_threads in (2, 1):
        prepare_torch(num_threads)
        assert torch.get_num_threads() == num_threads
        blas = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
        assert blas
        assert {one["num_threads"] for one in blas} == {num_threads}


# -- Which library is chosen --


@pytest.mark.parametrize(
    ("us_per_step", "chosen"),
    [
        ({}, "torch"),
        ({"torch": 100.0}, "torch"),
        ({"torch": 100.0, "numpy": 95.0, "numpy_cut": 91.0}, "torch"),
        ({"torch": 100.0, "numpy": 90.0, "numpy_cut": 95.0}, "numpy"),
        ({"torch": 100.0, "numpy": 80.0, "numpy_cut": 60.0}, "numpy_cut"),
    ],
)
def test_another_library_than_torchs_must_gain_a_tenth(us_per_step: dict[str, float], chosen: str) -> None:
    assert fastest(us_per_step) == chosen


def work(*words: str) -> plan.Work:
    sweep = load_sweep("smoke", ["depth=shallow", *words])
    return plan.Work(trials=sweep.trials(dataset_sha256=""), num_samples=1000, num_inputs=64, num_classes=10)


def test_every_library_is_measured_once_on_a_machine(cache: Path) -> None:
    torch.set_num_threads(2)
    with threadpoolctl.threadpool_limits(2, user_api="blas"), ThreadPoolExecutor(1) as thread:
        found = measure(*work().sizes, num_threads=1)
        blas = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
        assert {one["num_threads"] for one in blas} == {2}  # what is set for training is set back
        assert thread.submit(torch.get_num_threads).result() == torch.get_num_threads() == 2
    assert list(found) == list(PRODUCTS)
    assert all(0 < us < 1e6 for us in found.values())
    (file,) = set(cache.iterdir()) - {kept_in("cpu")}
    file.write_text(json.dumps({"torch": 3.0, "numpy": 1.5}))
    assert measure(*work().sizes, num_threads=1) == {"torch": 3.0, "numpy": 1.5}
    assert measure(*work("batch_size=32").sizes, num_threads=1).keys() == PRODUCTS.keys()
    file.write_text("[")
    assert measure(*work().sizes, num_threads=1).keys() == PRODUCTS.keys()


def test_what_was_measured_holds_for_the_libraries_that_could_be_used(cache: Path) -> None:
    every = measure(*work().sizes, num_threads=1)
    allow("torch")
    assert list(measure(*work().sizes, num_threads=1)) == ["torch"]
    allow(*PRODUCTS)
    assert measure(*work().sizes, num_threads=1) == every
    assert len(list(cache.iterdir())) == 3


def test_the_order_of_an_axis_and_larger_batches_than_there_are_samples_change_nothing(cache: Path) -> None:
    for words in (("activation=relu,tanh", "batch_size=1000"), ("activation=tanh,relu", "batch_size=1000")):
        measure(*work(*words).sizes, num_threads=1)
    assert len(list(cache.iterdir())) == 2
    assert measure(*work("batch_size=1000000").sizes, num_threads=1).keys() == PRODUCTS.keys()


def test_a_library_is_left_out_if_it_cannot_be_used_or_a_replicate_depends_on_its_stack(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow("torch", "numpy_cut")
    assert list(measure(*work().sizes, num_threads=1)) == ["torch", "numpy_cut"]

    def depends(self: Any, number: Tensor) -> Callable[[], object]:
        right = super(CutNumpyStep, self)._adam(number)
        return lambda: (right(), self._stack.flat["parameters"].mul_(1 + self._num_replicates))

    monkeypatch.setattr(CutNumpyStep, "_adam", depends, raising=False)
    for file in set(cache.iterdir()) - {kept_in("cpu")}:
        file.unlink()
    assert list(measure(*work().sizes, num_threads=1)) == ["torch"]


def test_nothing_is_measured_where_the_stacked_loop_trains_nothing(cache: Path) -> None:
    assert measure(*plan.Work(num_samples=1000, num_inputs=64, num_classes=10).sizes, num_threads=1) == {}
    allow()
    assert measure(*work().sizes, num_threads=1) == {}
    assert list(cache.iterdir()) == [kept_in("cpu")]


def manifest_of(digits: Dataset, *words: str, experiment: Experiment | None = None) -> Manifest:
    sweep = load_sweep("smoke", ["depth=shallow", "loss=hinge", "epochs=2", *words])
    worker = describe_worker(work=plan.work_of(sweep, None, digits.record))
    manifest = plan.make_manifest(sweep, digits, name="test", command="", worker=worker)
    if experiment:
        experiment.write_manifest(manifest)
        experiment.write_test_split(images=digits.test_pixels, y_true=digits.test.labels)
    return manifest


@pytest.mark.usefixtures("cache")
def test_the_manifest_says_what_was_chosen_and_what_each_reached(
    digits: Dataset, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_us_per_step", lambda *_: {"torch": 300.0, "numpy": 310.0, "numpy_cut": 200.0})
    manifest_of(digits, experiment=experiment)
    manifest = read_state(experiment).manifest
    assert manifest.products == manifest.fingerprint["products"] == "numpy_cut"
    assert manifest.us_per_step == {"torch": 300.0, "numpy": 310.0, "numpy_cut": 200.0}
    assert manifest.fingerprint["numpy_library"] == numpy_library()
    assert "numpy_cut (microseconds a model step: torch 300" in describe_products(manifest, describe_worker())
    # An experiment keeps its library.
    for asked in ("auto", "numpy_cut"):
        sweep = load_sweep("smoke", [f"products={asked}"])
        assert plan.work_of(sweep, manifest, digits.record) == plan.Work(products="numpy_cut")
    other = dataclasses.replace(manifest.sweep, products="torch")
    plan.check_same_sweep(manifest, dataclasses.replace(other, products="numpy_cut"))
    for check in (plan.check_same_sweep, partial(plan.extend_manifest, command="")):
        with pytest.raises(ExperimentError, match="products=numpy_cut, not torch"):
            check(manifest, other)


@pytest.mark.usefixtures("cache")
def test_a_library_can_be_asked_for_by_name(digits: Dataset) -> None:
    for name in PRODUCTS:
        manifest = manifest_of(digits, f"products={name}")
        assert (manifest.products, manifest.us_per_step) == (name, {})
        assert manifest.sweep.tables()["products"] == name
    assert "products" not in manifest_of(digits, "products=torch").fingerprint  # as 0.1.0 wrote it
    allow("torch")
    with pytest.raises(ConfigError, match="numpy_cut is not here"):
        manifest_of(digits, "products=numpy_cut")


@pytest.mark.usefixtures("cache")
def test_the_reference_loop_multiplies_with_torch_whatever_the_others_do(
    digits: Dataset, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="engine=reference multiplies with torch"):
        manifest_of(digits, "engine=reference", "products=numpy")
    monkeypatch.setitem(pieces.ACTIVATIONS, "elu", "torch.nn.ELU")
    manifest = manifest_of(digits, "activation=relu,elu", "products=numpy", experiment=experiment)
    for one in manifest.trials:
        run_trial(one, digits, experiment, products=manifest.products)
        done = experiment.read_done(one.trial_id)
        assert done
        assert done.fingerprints[0][1].get("products") == ("numpy" if one.engine == "stacked" else None)
        assert done.bit_exact(manifest)
        assert "equal in every bit" in next(iter(retrain(experiment, one.trial_id))).text


def test_an_unknown_library_is_refused() -> None:
    with pytest.raises(ConfigError, match="numpy_cut"):
        load_sweep("smoke", ["products=numpy_cutt"])


# -- A trial --


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("products", PRODUCTS)
def test_an_interrupted_trial_matches_an_uninterrupted_one_and_is_trained_again_with_its_library(
    digits: Dataset, experiment: Experiment, tmp_path: Path, products: str
) -> None:
    manifest = manifest_of(digits, f"products={products}", experiment=experiment)
    calm = Experiment(LocalStorage(tmp_path / "calm"))
    for one in manifest.trials:
        run_trial(one, digits, calm, products=products)
        TrialRun(one, digits, experiment, products=products).step()  # and no further
        run_trial(one, digits, experiment, products=products)
        found, expected = experiment.read_done(one.trial_id), calm.read_done(one.trial_id)
        assert found
        assert expected
        assert found.replicates == expected.replicates
        assert found.bit_exact(manifest)
    assert all(finding.ok and "equal" in finding.text for finding in [*verify(experiment)][2:])
    (bits,) = retrain(experiment, manifest.trials[0].trial_id)
    assert bits.ok
    assert "equal in every bit" in bits.text


@pytest.mark.usefixtures("cache")
def test_a_machine_without_the_library_finishes_with_torch_and_says_so(digits: Dataset, experiment: Experiment) -> None:
    manifest = manifest_of(digits, "products=numpy_cut", experiment=experiment)
    one = manifest.trials[0]
    TrialRun(one, digits, experiment, products="numpy_cut").step()
    allow("torch")
    here = describe_worker(work=plan.work_of(manifest.sweep, manifest, digits.record))
    assert here.fingerprint == fingerprint(num_threads=1, device="cpu")
    assert here.products_refused == "numpy_cut is not here"
    assert "numpy_cut is not here" in describe_products(manifest, here)
    run_trial(one, digits, experiment, products="numpy_cut")
    done = experiment.read_done(one.trial_id)
    assert done
    assert [(epoch, where.get("products")) for epoch, where in done.fingerprints] == [(1, "numpy_cut"), (2, None)]
    assert not done.bit_exact(manifest)
    assert "products numpy_cut -> None" in next(iter(retrain(experiment, one.trial_id))).text
