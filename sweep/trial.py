"""One trial, from its newest checkpoint or nothing to its done record.

Runs without Ray: `run_trial` in a debugger does what a worker of a sweep does. Axis letters: R replicates,
N images, C classes, E epochs.
"""

import hashlib
import io
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweep.config import TrialConfig
from sweep.datasets import Dataset, Split
from sweep.errors import ResourceError
from sweep.loops import stacked
from sweep.loops.contract import Loop, TrainingSplit, prepare_torch
from sweep.loops.stacked.products import fastest, measure, numpy_library
from sweep.metrics import TRAIN_TIME, history
from sweep.pieces import LOOPS, LOSSES, WITH_PRODUCTS, load
from sweep.plan import ANY_WORK, Work, Worker
from sweep.records import DoneRecord, Experiment, ReplicateRecord, Rows, products_of, rows_of_2, utc_now
from sweep.tasks import DEFAULT_TASK, TASKS


def describe_worker(*, num_threads: int = 1, device: str = "cpu", work: Work = ANY_WORK) -> Worker:
    """Describes this process as a worker with some threads on a device, "cpu" or "cuda", for some work."""
    unfit = {name: reason for name, path in LOOPS.items() if (reason := load(path).unfit(device))}
    products, us_per_step = work.products, {}
    if products == "auto":
        us_per_step = measure(*work.sizes, num_threads=num_threads) if device == "cpu" else {}
        products = fastest(us_per_step)
    here = fingerprint(num_threads=num_threads, device=device, products=products)
    refused = "" if products_of(here) == products else stacked.unfit(device, products)
    return Worker(fingerprint=here, unfit=unfit, us_per_step=us_per_step, products_refused=refused)


def fingerprint(*, num_threads: int, device: str, products: str = "torch") -> dict[str, Any]:
    """Gives what the bits of a trial depend on beside its configuration.

    Of the library of products nothing is said where it is torch, as it is where another cannot be used.
    """
    where = {
        "torch": str(torch.__version__),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "num_threads": num_threads,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
    }
    if products != "torch" and not stacked.unfit(device, products):
        where |= {"products": products, "numpy": np.__version__, "numpy_library": numpy_library()}
    return where


def device_like(recorded: Mapping[str, Any]) -> str:
    """Gives the device here that is nearest to that of a fingerprint: "cpu" or "cuda"."""
    return "cuda" if recorded.get("device", "cpu") != "cpu" and torch.cuda.is_available() else "cpu"


class TrialRun:
    """A trial in progress; each `step` trains one epoch and leaves a checkpoint.

    Raises:
        ResourceError: if the loop that the trial is for does not take it, or may not train here.
        StorageError: here and in `step`, if a file cannot be written.
    """

    def __init__(
        self,
        trial: TrialConfig,
        dataset: Dataset,
        experiment: Experiment,
        *,
        num_threads: int = 1,
        device: str = "cpu",
        products: str = "torch",
        checkpoint_every: int = 1,
    ) -> None:
        loop = load(LOOPS[trial.engine])
        if reason := loop.refuses(trial) or loop.unfit(device):
            raise ResourceError(
                f"{trial.trial_id} is for the {trial.engine} engine, which cannot be used here: {reason}"
            )
        prepare_torch(num_threads)
        products = products if trial.engine in WITH_PRODUCTS else "torch"
        here = fingerprint(num_threads=num_threads, device=device, products=products)
        self._trial, self._dataset, self._experiment = trial, dataset, experiment
        self._checkpoint_every = checkpoint_every
        self._loop = _make_loop(trial, dataset, device, products_of(here))
        self._task = TASKS[DEFAULT_TASK]
        self._history: dict[tuple[str, str], list[list[float]]] = {}  # by split and metric, a row an epoch
        self._train_time_s = torch.zeros(len(trial.seeds), dtype=torch.float64)
        self._validation_outputs: Tensor | None = None  # after the last epoch, if it was trained here
        self._fingerprints: list[tuple[int, dict[str, Any]]] = []
        self._checkpoint = experiment.read_checkpoint(trial.trial_id)
        if self._checkpoint:
            self._load(self._checkpoint.content)
        if not self._fingerprints or self._fingerprints[-1][1] != here:
            self._fingerprints.append((self.epoch + 1, here))

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(next(iter(self._history.values()), []))

    @property
    def latest(self) -> dict[str, float]:
        """What the last epoch gave: its number, the training time so far, and each score's mean over the replicates."""
        known = {(one.split, one.metric.name): one.column for one in history(self._task.METRICS)}
        means = {known[where]: float(np.mean(epochs[-1])) for where, epochs in self._history.items()}
        return {"epoch": self.epoch, "train_time_s": float(self._train_time_s.sum()), **means}

    def step(self) -> bool:
        """Trains the next epoch, if one is left; after the last one writes the done record and gives True."""
        if self.epoch < self._trial.epochs:
            self._train_epoch()
        last = self.epoch == self._trial.epochs
        kept = self._checkpoint.epoch if self._checkpoint else 0
        if (last or self.epoch % self._checkpoint_every == 0) and kept < self.epoch:
            self._checkpoint = self._experiment.write_checkpoint(self._trial.trial_id, self.epoch, self._save())
        if last:
            self._finish()
        return last

    def _train_epoch(self) -> None:
        scores = self._loop.train_epoch(self.epoch + 1)
        self._train_time_s += scores.train_time_s
        losses, self._validation_outputs = self._outputs("validation")
        validation = self._task.scores(self._predictions("validation", self._validation_outputs), "validation")
        for where, row in {
            ("train", "loss"): scores.loss.tolist(),
            ("train", self._task.WHILE_TRAINING): scores.correct.tolist(),
            ("validation", "loss"): losses,
            **{("validation", metric): row for metric, row in validation.items()},
        }.items():
            self._history.setdefault(where, []).append(row)

    def _outputs(self, split_name: str) -> tuple[list[float], Tensor]:
        """The losses R and outputs `[R, N, C]` on a split."""
        split, num_replicates = getattr(self._dataset, split_name), len(self._trial.seeds)
        if not len(split.labels):
            return [math.nan] * num_replicates, torch.zeros(num_replicates, 0, len(self._dataset.target_names))
        return _score(self._loop, self._trial, split)

    def _predictions(self, split_name: str, outputs: Tensor) -> dict[str, NDArray[Any]]:
        targets = getattr(self._dataset, split_name).labels
        return dict(self._task.predictions({split_name: outputs.numpy()}, {split_name: targets}))

    def _finish(self) -> None:
        assert self._checkpoint is not None
        trial_id = self._trial.trial_id
        if self._validation_outputs is None:
            self._validation_outputs = self._outputs("validation")[1]
        losses, outputs = self._outputs("test")
        arrays = self._predictions("test", outputs) | self._predictions("validation", self._validation_outputs)
        once = {("test", metric): row for metric, row in self._task.scores(arrays, "test").items()}
        once |= {("test", "loss"): losses, ("train", TRAIN_TIME.name): self._train_time_s.tolist()}
        epochs = tuple(range(1, self.epoch + 1))
        rows = [(*where, epochs, values) for where, values in self._history.items()]
        rows += [(*where, epochs[-1:], [row]) for where, row in once.items()]
        train_losses, parameters = np.array(self._history["train", "loss"]), self._loop.state()["parameters"]
        finite = np.isfinite(train_losses).all(axis=0) & torch.isfinite(parameters).all(dim=1).numpy()
        record = DoneRecord(
            trial_id=trial_id,
            replicates=tuple(
                ReplicateRecord(seed=seed, diverged=not finite[row], parameters_sha256=hash_of(parameters[row]))
                for row, seed in enumerate(self._trial.seeds)
            ),
            rows=tuple(
                Rows(split=split, metric=metric, epochs=known, values=values) for split, metric, known, values in rows
            ),
            files={
                self._checkpoint.file: self._checkpoint.sha256,
                "predictions.npz": self._experiment.write_predictions(trial_id, arrays),
            },
            fingerprints=tuple(self._fingerprints),
            finished=utc_now(),
        )
        self._experiment.write_done(record)

    def _save(self) -> bytes:
        buffer = io.BytesIO()
        content = {
            "trial_id": self._trial.trial_id,
            "engine_state": self._loop.state(),
            "rows": [(*where, torch.tensor(rows, dtype=torch.float64)) for where, rows in self._history.items()],
            "train_time_s": self._train_time_s,
            "fingerprints": self._fingerprints,
        }
        torch.save(content, buffer)
        return buffer.getvalue()

    def _load(self, checkpoint: bytes) -> None:
        content = load_checkpoint(checkpoint)
        assert content["trial_id"] == self._trial.trial_id
        rows = content["rows"] if "rows" in content else rows_of_2(content["history"])
        self._loop.load_state(content["engine_state"])
        self._history = {(split, metric): values.tolist() for split, metric, values in rows}
        self._train_time_s = content["train_time_s"]
        self._fingerprints = [(first_epoch, dict(where)) for first_epoch, where in content["fingerprints"]]


def run_trial(trial: TrialConfig, dataset: Dataset, experiment: Experiment, **options: Any) -> None:
    """Trains a trial to its end in this process; the options are those of `TrialRun`."""
    run = TrialRun(trial, dataset, experiment, **options)
    while not run.step():
        pass


def load_checkpoint(checkpoint: bytes) -> dict[str, Any]:
    """Gives the content of a checkpoint: `trial_id`, `engine_state`, `rows`, `train_time_s`, `fingerprints`."""
    content: dict[str, Any] = torch.load(io.BytesIO(checkpoint), weights_only=True)
    return content


def score_test_split(
    trial: TrialConfig,
    dataset: Dataset,
    engine_state: Mapping[str, Tensor],
    *,
    num_threads: int,
    device: str,
    products: str,
) -> tuple[list[float], NDArray[Any]]:
    """Gives the test losses R and outputs `[R, N, C]` of the models in a checkpoint, as `TrialRun` computes them."""
    prepare_torch(num_threads)
    loop = _make_loop(trial, dataset, device, products)
    loop.load_state(engine_state)
    losses, outputs = _score(loop, trial, dataset.test)
    return losses, outputs.numpy()


def hash_of(parameters: Tensor) -> str:
    """SHA-256 of the parameters of one model, float32 little-endian."""
    return hashlib.sha256(parameters.contiguous().numpy().tobytes()).hexdigest()


def _score(loop: Loop, trial: TrialConfig, split: Split) -> tuple[list[float], Tensor]:
    outputs, targets = loop.outputs(_tensor(split.images)), _tensor(split.labels)
    loss = load(LOSSES[trial.loss])
    return [loss(replicate, targets).item() for replicate in outputs], outputs


def _make_loop(trial: TrialConfig, dataset: Dataset, device: str, products: str) -> Loop:
    training = TrainingSplit(
        inputs=_tensor(dataset.train.images),
        targets=_tensor(dataset.train.labels),
        num_classes=len(dataset.target_names),
    )
    loop: Loop = load(LOOPS[trial.engine]).make(trial, training, device=device, products=products)
    return loop


def _tensor(array: NDArray[Any]) -> Tensor:
    # Arrays from Ray's object store are read-only; nothing here writes to them.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
