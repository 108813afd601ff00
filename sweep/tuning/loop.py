"""Runs trials through Ray Tune and passes on what they report, as it happens."""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config import Resources, TrialConfig
from sweep.datasets import Dataset
from sweep.errors import ClusterLostError, StorageError
from sweep.records import Experiment

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
    """Trains the trials on the cluster that this process has joined, in the order given.

    Returns when all have ended in some way, or soon after `stop` is set: the epochs that run then end first. What
    was finished is in the experiment's files.

    Raises:
        StorageError: if the experiment's files could not be written; the other trials were stopped.
        ClusterLostError: if Ray itself failed.
    """
    import ray.exceptions
    import ray.tune

    from sweep.tuning.callbacks import PassOn, StopWhenAsked
    from sweep.tuning.trainable import GridPointTrainable

    options = {
        "num_threads": resources.num_cpus,
        "device": "cuda" if num_gpus else "cpu",
        "checkpoint_every": resources.checkpoint_every,
    }
    trainable = ray.tune.with_parameters(
        GridPointTrainable,
        dataset=dataset,
        root=str(experiment.storage),
        trials={trial.trial_id: trial for trial in trials},
        options=options,
    )
    callback = PassOn(experiment, listener, stop)
    scratch = Path(tempfile.mkdtemp(prefix="sweep-tune-"))
    try:
        ray.tune.Tuner(
            ray.tune.with_resources(trainable, {"cpu": resources.num_cpus, "gpu": num_gpus}),
            param_space={"trial_id": ray.tune.grid_search([trial.trial_id for trial in trials])},
            tune_config=ray.tune.TuneConfig(
                reuse_actors=True,
                max_concurrent_trials=resources.max_concurrent or None,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=ray.tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                failure_config=ray.tune.FailureConfig(max_failures=resources.max_retries),
                checkpoint_config=ray.tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[callback],
                stop=StopWhenAsked(stop),
                verbose=0,
            ),
        ).fit()
    except ray.exceptions.RayError as error:
        raise ClusterLostError(f"Ray has failed: {str(error).strip().partition(chr(10))[0]}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if callback.storage_error:
        raise StorageError(callback.storage_error)
