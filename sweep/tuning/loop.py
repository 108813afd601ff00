"""Runs trials through Ray Tune and passes on what they report, as it happens."""

import itertools
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config import Resources, TrialConfig
from sweep.datasets import Dataset
from sweep.errors import ClusterLostError, first_line
from sweep.records import Experiment
from sweep.tuning.nodes import versions

if TYPE_CHECKING:
    from sweep.tuning.callbacks import Listener


def run_trials(
    trials: Sequence[TrialConfig],
    *,
    dataset: Dataset,
    experiment: Experiment,
    resources: Resources,
    num_gpus: float,
    listener: "Listener",
    stop: threading.Event,
) -> None:
    """Trains the trials on the cluster that this process has joined, in the order given, `resources.pack` a worker.

    Returns when all have ended in some way, or soon after `stop` is set: the epochs that run then end first. What
    was finished is in the experiment's files.

    Raises:
        StorageError: if the experiment's files could not be written, or a node that has joined does not share them;
            the other trials were stopped.
        ResourceError: if a node that has joined has other versions, or cannot use the engine; the other trials were
            stopped.
        ClusterLostError: if Ray itself failed.
    """
    import ray.exceptions
    import ray.tune

    from sweep.tuning.callbacks import InOrder, PassOn, StopWhenAsked
    from sweep.tuning.lean import use_waiting_workers
    from sweep.tuning.trainable import GridPointTrainable

    use_waiting_workers()
    options = {
        "num_threads": resources.num_cpus,
        "device": "cuda" if num_gpus else "cpu",
        "checkpoint_every": resources.checkpoint_every,
    }
    packs = _packs(trials, resources.pack)
    at_once = resources.pack if num_gpus else 1
    trainable = ray.tune.with_parameters(
        GridPointTrainable,
        dataset=dataset,
        root=str(experiment.storage),
        trials={trial.trial_id: trial for trial in trials},
        options=options,
        at_once=at_once,
        versions=versions(),
    )
    callback = PassOn(experiment, listener, stop, max_retries=resources.max_retries, at_once=at_once)
    scratch = Path(tempfile.mkdtemp(prefix="sweep-tune-"))
    try:
        ray.tune.Tuner(
            ray.tune.with_resources(trainable, {"cpu": resources.num_cpus, "gpu": num_gpus}),
            tune_config=ray.tune.TuneConfig(
                search_alg=InOrder(iter(packs)),
                num_samples=len(packs),
                reuse_actors=True,
                max_concurrent_trials=resources.max_concurrent or None,
                trial_dirname_creator=lambda trial: trial.trial_id,  # Tune's own, which is short
            ),
            run_config=ray.tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                # Of a pack: each of its trials may use up its retries and then be left out.
                failure_config=ray.tune.FailureConfig(max_failures=resources.pack * (resources.max_retries + 1) - 1),
                checkpoint_config=ray.tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[callback],
                stop=StopWhenAsked(stop),
                verbose=0,
            ),
        ).fit()
    except ray.exceptions.RayError as error:
        raise ClusterLostError(f"Ray has failed: {first_line(error)}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if callback.problem:
        raise callback.problem


def _packs(trials: Sequence[TrialConfig], size: int) -> list[list[str]]:
    """Gives the ids of neighbours with the same layers, at most `size` together."""
    groups = [[trial.trial_id for trial in group] for _, group in itertools.groupby(trials, lambda trial: trial.layers)]
    return [group[first : first + size] for group in groups for first in range(0, len(group), size)]
