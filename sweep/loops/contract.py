"""What a loop is: how it says what it refuses, what it is given, and what it gives.

Axis letters: R replicates, N samples, D inputs, C classes, P parameters of one replicate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import threadpoolctl
import torch
from torch import Tensor

from sweep.config import TrialConfig

# Of Adam, as a state names them.
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, kw_only=True)
class TrainingSplit:
    """The training split: inputs `[N, D]` float32 and targets `[N]` int64, on the CPU, and the number of classes."""

    inputs: Tensor
    targets: Tensor
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class EpochScores:
    """What an epoch of training gives for each replicate, all `[R]` on the CPU, float64.

    Attributes:
        loss: Mean over the epoch's samples, each scored by the model before its batch's update.
        correct: The share of those samples whose largest output is the target's.
        train_time_s: Seconds of training.
    """

    loss: Tensor
    correct: Tensor
    train_time_s: Tensor


class Loop(Protocol):
    """What trains the replicates of one grid point.

    The state is the same for every loop: float32 `parameters`, `exp_avg` and `exp_avg_sq` `[R, P]` and the number of
    `steps` taken. So a checkpoint of one loop can be read by another.
    """

    def train_epoch(self, epoch: int) -> EpochScores:
        """Trains every replicate for one epoch, counted from 1."""

    def outputs(self, inputs: Tensor) -> Tensor:
        """Gives the outputs `[R, N, C]` of inputs `[N, D]`, on the CPU, without learning."""

    def state(self) -> dict[str, Tensor]:
        """Gives a copy of everything that the next epoch depends on, on the CPU."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues from what `state` gave."""


class LoopModule(Protocol):
    """The module that `sweep.pieces.LOOPS` names for a loop. Reasons are in words, "" for none."""

    def refuses(self, trial: TrialConfig) -> str:
        """Gives the reason why the loop cannot train a trial, wherever that is."""

    def unfit(self, device: str) -> str:
        """Gives the reason why it cannot be used on this machine's device: "cpu" or "cuda"."""

    def make(self, trial: TrialConfig, training: TrainingSplit, *, device: str, products: str) -> Loop:
        """Makes the loop of a trial; its inputs may be views of read-only memory.

        What it multiplies with on a CPU is one of `sweep.pieces.PRODUCTS`, if it has a choice.
        """


def prepare_torch(num_threads: int) -> None:
    """Sets what a thread that trains needs: its number of cores, for numpy too, and denormal floats flushed to zero.

    Adam's moments of units that stopped learning decay into denormals, which make a step up to 2.5 times slower;
    flushing them changes no bit of the parameters.
    """
    torch.set_num_threads(num_threads)
    threadpoolctl.threadpool_limits(num_threads, user_api="blas")
    torch.set_flush_denormal(True)
