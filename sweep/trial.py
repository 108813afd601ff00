"""One trial, from its newest checkpoint or nothing to its done record.

Runs without Ray: `run_trial` in a debugger does what a worker of a sweep does. Axis letters: R replicates,
N images, C classes, E epochs.
"""

import hashlib
import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sweep import metrics
from sweep.config import TrialConfig
from sweep.datasets import Dataset
from sweep.errors import ResourceError
from sweep.loops.contract import Loop, TrainingSplit
from sweep.pieces import LOOPS, LOSSES, load
from sweep.plan import Worker
from sweep.records import (
    HISTORY_METRICS,
    DoneRecord,
    Experiment,
    Predictions,
    ReplicateRecord,
    utc_now,
)


def describe_worker(*, num_threads: int = 1, device: str = "cpu") -> Worker:
    """Describes this process as a worker with some threads on a device: "cpu" or "cuda"."""
    unfit = {name: reason for name, path in LOOPS.items() if (reason := load(path).unfit(device))}
    return Worker(fingerprint=fingerprint(num_threads=num_threads, device=device), unfit=unfit)


def prepare_torch(num_threads: int) -> None:
    """Sets what a thread that trains needs: its number of cores, and denormal floats flushed to zero.

    Adam's moments of units that stopped learning decay into denormals, which make a step up to 2.5 times slower;
    flushing them changes no bit of the parameters.
    """
    torch.set_num_threads(num_threads)
    torch.set_flush_denormal(True)


def fingerprint(*, num_threads: int, device: str) -> dict[str, Any]:
    """Gives what the bits of a trial depend on beside its configuration."""
    return {
        "torch": str(torch.__version__),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "num_threads": num_threads,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
    }


def device_like(recorded: Mapping[str, Any]) -> str:
    """Gives the device here that is nearest to that of a fingerprint: "cpu" or "cuda"."""
    return "cuda" if recorded.get("device", "cpu") != "cpu" and torch.cuda.is_available() else "cpu"


class TrialRun:
    """A trial in progress; each `step` trains one epoch and leaves a checkpoint.

    Args:
        trial: What to train.
        dataset: Its data set, split.
        experiment: Where its files are.
        num_threads: CPUs of the trial.
        device: "cpu" or "cuda".
        checkpoint_every: Epochs between checkpoints.

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
        checkpoint_every: int = 1,
    ) -> None:
        loop = load(LOOPS[trial.engine])
        if reason := loop.refuses(trial) or loop.unfit(device):
            raise ResourceError(
                f"{trial.trial_id} is for the {trial.engine} engine, which cannot be used here: {reason}"
            )
        prepare_torch(num_threads)
        self._trial, self._dataset, self._experiment = trial, dataset, experiment
        self._checkpoint_every = checkpoint_every
        self._loop = _make_loop(trial, dataset, device)
        self._loss = load(LOSSES[trial.loss])
        self._history: dict[str, list[list[float]]] = {name: [] for name in HISTORY_METRICS}
        self._train_time_s = torch.zeros(len(trial.seeds), dtype=torch.float64)
        self._validation_confusion: NDArray[np.int64] | None = None  # after the last epoch, if it was trained here
        self._fingerprints: list[tuple[int, dict[str, Any]]] = []
        self._checkpoint = experiment.read_checkpoint(trial.trial_id)
        if self._checkpoint:
            self._load(self._checkpoint.content)
        here = fingerprint(num_threads=num_threads, device=device)
        if not self._fingerprints or self._fingerprints[-1][1] != here:
            self._fingerprints.append((self.epoch + 1, here))

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self._history["train_loss"])

    @property
    def latest(self) -> dict[str, float]:
        """The metrics of the last epoch, each the mean over the replicates, and the training time so far."""
        rows = {name: float(np.mean(epochs[-1])) for name, epochs in self._history.items() if epochs}
        return {"epoch": self.epoch, "train_time_s": float(self._train_time_s.sum()), **rows}

    def step(self) -> bool:
        """Trains the next epoch, if one is left; after the last one writes the done record and gives True."""
        if self.epoch < self._trial.epochs:
            self._train_epoch()
        last = self.epoch == self._trial.epochs
        if (last or self.epoch % self._checkpoint_every == 0) and self._checkpointed_epoch < self.epoch:
            self._checkpoint = self._experiment.write_checkpoint(self._trial.trial_id, self.epoch, self._save())
        if last:
            self._finish()
        return last

    @property
    def _checkpointed_epoch(self) -> int:
        return self._checkpoint.epoch if self._checkpoint else 0

    def _train_epoch(self) -> None:
        scores = self._loop.train_epoch(self.epoch + 1)
        self._train_time_s += scores.train_time_s
        validation_loss, self._validation_confusion = self._score("validation")[:2]
        rows = (
            scores.loss.tolist(),
            scores.correct.tolist(),
            validation_loss,
            [metrics.accuracy(confusion) for confusion in self._validation_confusion],
        )
        for name, row in zip(HISTORY_METRICS, rows, strict=True):
            self._history[name].append(row)

    def _score(self, split_name: str) -> tuple[list[float], NDArray[np.int64], Tensor]:
        """Gives the losses R, confusion matrices `[R, C, C]` and logits `[R, N, C]` of a split."""
        split = getattr(self._dataset, split_name)
        num_replicates, num_classes = len(self._trial.seeds), len(self._dataset.target_names)
        if not len(split.labels):
            empty = torch.zeros(num_replicates, 0, num_classes)
            return [float("nan")] * num_replicates, np.zeros((num_replicates, num_classes, num_classes), int), empty
        labels = _tensor(split.labels)
        logits = self._loop.outputs(_tensor(split.images))
        losses = [self._loss(replicate, labels).item() for replicate in logits]
        predicted = logits.max(2).indices.numpy()
        confusions = [metrics.confusion_matrix(split.labels, y_pred, num_classes) for y_pred in predicted]
        return losses, np.stack(confusions), logits

    def _finish(self) -> None:
        assert self._checkpoint is not None
        trial_id = self._trial.trial_id
        if self._validation_confusion is None:
            self._validation_confusion = self._score("validation")[1]
        test_losses, test_confusion, test_logits = self._score("test")
        with np.errstate(over="ignore"):  # a diverged replicate's logits exceed float16
            predictions = Predictions(
                test_logits=test_logits.numpy().astype(np.float16),
                y_pred=test_logits.max(2).indices.numpy(),
                test_confusion=test_confusion,
                validation_confusion=self._validation_confusion,
            )
        parameters = self._loop.state()["parameters"]
        replicates = [
            self._replicate(index, test_losses[index], test_confusion[index], parameters[index])
            for index in range(len(self._trial.seeds))
        ]
        record = DoneRecord(
            trial_id=trial_id,
            replicates=tuple(replicates),
            history=self._history,
            files={
                self._checkpoint.file: self._checkpoint.sha256,
                "predictions.npz": self._experiment.write_predictions(trial_id, predictions),
            },
            fingerprints=tuple(self._fingerprints),
            finished=utc_now(),
        )
        self._experiment.write_done(record)

    def _replicate(
        self, index: int, test_loss: float, confusion: NDArray[np.int64], parameters: Tensor
    ) -> ReplicateRecord:
        scores = metrics.class_scores(confusion)
        precision, recall, f1 = scores.macro()
        precision_weighted, recall_weighted, f1_weighted = scores.weighted()
        losses = np.array(self._history["train_loss"])[:, index]
        return ReplicateRecord(
            seed=self._trial.seeds[index],
            diverged=not bool(np.isfinite(losses).all() and torch.isfinite(parameters).all()),
            **{name: epochs[-1][index] for name, epochs in self._history.items()},
            test_loss=test_loss,
            test_accuracy=metrics.accuracy(confusion),
            precision=precision,
            recall=recall,
            f1=f1,
            precision_weighted=precision_weighted,
            recall_weighted=recall_weighted,
            f1_weighted=f1_weighted,
            train_time_s=float(self._train_time_s[index]),
            parameters_sha256=hashlib.sha256(parameters.contiguous().numpy().tobytes()).hexdigest(),
        )

    def _save(self) -> bytes:
        buffer = io.BytesIO()
        content = {
            "trial_id": self._trial.trial_id,
            "engine_state": self._loop.state(),
            "history": {name: torch.tensor(rows, dtype=torch.float64) for name, rows in self._history.items()},
            "train_time_s": self._train_time_s,
            "fingerprints": self._fingerprints,
        }
        torch.save(content, buffer)
        return buffer.getvalue()

    def _load(self, checkpoint: bytes) -> None:
        content = load_checkpoint(checkpoint)
        assert content["trial_id"] == self._trial.trial_id
        self._loop.load_state(content["engine_state"])
        self._history = {name: rows.tolist() for name, rows in content["history"].items()}
        self._train_time_s = content["train_time_s"]
        self._fingerprints = [(first_epoch, dict(where)) for first_epoch, where in content["fingerprints"]]


def run_trial(trial: TrialConfig, dataset: Dataset, experiment: Experiment, **options: Any) -> None:
    """Trains a trial to its end in this process; the options are those of `TrialRun`."""
    run = TrialRun(trial, dataset, experiment, **options)
    while not run.step():
        pass


def load_checkpoint(checkpoint: bytes) -> dict[str, Any]:
    """Gives the content of a checkpoint: `trial_id`, `engine_state`, `history`, `train_time_s`, `fingerprints`."""
    content: dict[str, Any] = torch.load(io.BytesIO(checkpoint), weights_only=True)
    return content


def score_test_split(
    trial: TrialConfig, dataset: Dataset, engine_state: Mapping[str, Tensor], *, num_threads: int, device: str
) -> tuple[list[float], Tensor]:
    """Gives the test losses R and logits `[R, N, C]` of the models in a checkpoint, as `TrialRun` computes them."""
    prepare_torch(num_threads)
    loop = _make_loop(trial, dataset, device)
    loop.load_state(engine_state)
    logits, labels = loop.outputs(_tensor(dataset.test.images)), _tensor(dataset.test.labels)
    loss = load(LOSSES[trial.loss])
    return [loss(replicate, labels).item() for replicate in logits], logits


def _make_loop(trial: TrialConfig, dataset: Dataset, device: str) -> Loop:
    training = TrainingSplit(
        inputs=_tensor(dataset.train.images),
        targets=_tensor(dataset.train.labels),
        num_classes=len(dataset.target_names),
    )
    loop: Loop = load(LOOPS[trial.engine]).make(trial, training, device=device)
    return loop


def _tensor(array: NDArray[Any]) -> Tensor:
    # Arrays from Ray's object store are read-only; nothing here writes to them.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
