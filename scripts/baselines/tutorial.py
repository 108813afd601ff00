"""The default sweep as a Ray Tune tutorial would write it: what `scripts/bench.py` compares `sweep` with.

A DataLoader with torchvision transforms, a function trainable, `tune.grid_search`, a checkpoint after every epoch,
`torch.optim.Adam`, `.item()` at every step. One seed. Run with `python scripts/baselines/tutorial.py --help`.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
import torch
import torchvision
from ray import tune
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, random_split
from torchvision import transforms

from sweep.datasets import cache_folder, load_dataset

HIDDEN_LAYERS = {"shallow": [64], "medium": [128, 64], "deep": [256, 128, 64]}
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
LOSSES = ["cross_entropy", "sparse_cross_entropy", "hinge"]
# Depth varies fastest, so that any multiple of three points has all depths equally often.
POINTS = [
    {"depth": depth, "activation": activation, "loss": loss}
    for loss, activation, depth in itertools.product(LOSSES, ACTIVATIONS, HIDDEN_LAYERS)
]


class Net(nn.Module):
    """A multilayer perceptron."""

    def __init__(self, hidden_layers: list[int], activation: type[nn.Module]) -> None:
        super().__init__()
        sizes = [784, *hidden_layers]
        layers = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), activation()]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Gives the logits of images."""
        return self.layers(images)  # type: ignore[no-any-return]


def load_data(data_dir: str) -> "tuple[DataLoader[Any], DataLoader[Any], DataLoader[Any]]":
    """Gives the loaders of the training, validation and test images."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    train, test = (torchvision.datasets.MNIST(data_dir, train=train, transform=transform) for train in (True, False))
    train, validation = random_split(train, [55_000, 5_000])
    return DataLoader(train, batch_size=64, shuffle=True), DataLoader(validation, batch_size=64), DataLoader(test, 64)


def loss_of(name: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Gives the loss of a batch."""
    if name == "hinge":
        return functional.multi_margin_loss(logits, labels)
    if name == "cross_entropy":
        return functional.cross_entropy(logits, functional.one_hot(labels, 10).float())
    return functional.cross_entropy(logits, labels)


def evaluate(net: nn.Module, loader: "DataLoader[Any]") -> float:
    """Gives the accuracy."""
    correct, total = 0, 0
    with torch.no_grad():
        for images, labels in loader:
            correct += (net(images).argmax(1) == labels).sum().item()
            total += len(labels)
    return correct / total


def train_mnist(config: dict[str, Any]) -> None:
    """Trains one configuration, reporting to Ray Tune after every epoch."""
    started = time.time()
    train, validation, test = load_data(config["data_dir"])
    net = Net(HIDDEN_LAYERS[config["depth"]], ACTIVATIONS[config["activation"]])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    for epoch in range(config["epochs"]):
        start = time.perf_counter()
        running_loss, correct = 0.0, 0
        for images, labels in train:
            optimizer.zero_grad()
            logits = net(images)
            loss = loss_of(config["loss"], logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            running_loss += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
        metrics = {
            "train_loss": running_loss / 55_000,
            "train_accuracy": correct / 55_000,
            "validation_accuracy": evaluate(net, validation),
        }
        metrics["epoch_s"] = time.perf_counter() - start
        metrics["started"] = started
        if epoch == config["epochs"] - 1:
            metrics["test_accuracy"] = evaluate(net, test)
        with tempfile.TemporaryDirectory() as folder:
            torch.save((net.state_dict(), optimizer.state_dict()), Path(folder) / "checkpoint.pt")
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def main() -> None:
    """Runs the sweep; the last line is JSON with the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=len(POINTS), help="grid points to run, of 27")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()

    load_dataset("mnist")  # puts the files where torchvision looks for them
    ray.init(address="local")
    fixed = {"epochs": options.epochs, "data_dir": str(cache_folder())}
    with tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            tune.with_resources(lambda config: train_mnist(fixed | config["point"]), {"cpu": 1}),
            param_space={"point": tune.grid_search(POINTS[: options.points])},
            run_config=tune.RunConfig(name="tutorial", storage_path=storage),
        )
        results = tuner.fit()
    best = results.get_best_result("validation_accuracy", "max").metrics
    assert best is not None
    print(f"best by validation accuracy: {best['config']['point']}, test accuracy {best['test_accuracy']:.4f}")
    frames = [results[number].metrics_dataframe for number in range(len(results))]
    trials = [
        {"started": float(frame["started"].iloc[0]), "epoch_s": frame["epoch_s"].tolist()}
        for frame in frames
        if frame is not None
    ]
    num_cpus = int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]
    ray.shutdown()
    print(json.dumps({"num_cpus": num_cpus, "trials": trials}))


if __name__ == "__main__":
    main()
