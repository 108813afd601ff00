"""What is left to do: the manifest that a run is to fulfil, minus what is finished."""

from collections.abc import Mapping

from sweep.config import SweepConfig, TrialConfig, check_trainable
from sweep.launch.request import Launch
from sweep.plan import check_same_sweep, extend_manifest
from sweep.records import DoneRecord, Experiment, Manifest
from sweep.verify import damaged_files


def wanted_manifest(sweep: SweepConfig, launch: Launch) -> Manifest | None:
    """Gives the manifest that a run is to fulfil: as it is, or extended; None if there is none yet."""
    manifest = launch.experiment.read_manifest()
    if manifest and launch.extend:
        return extend_manifest(manifest, sweep, command=launch.command)
    if manifest:
        check_same_sweep(manifest, sweep)
    return manifest


def trials_left(experiment: Experiment, manifest: Manifest, launch: Launch) -> list[TrialConfig]:
    """Manifest minus verified done records; with `only_failed`, those of them that failed."""
    done = _whole(experiment, experiment.read_all_done([trial.trial_id for trial in manifest.trials]))
    left = [trial for trial in manifest.trials if trial.trial_id not in done]
    for trial in left:
        check_trainable(trial)
    if not launch.only_failed:
        return left
    failed = experiment.read_errors([trial.trial_id for trial in left])
    return [trial for trial in left if trial.trial_id in failed]


def _whole(experiment: Experiment, records: Mapping[str, DoneRecord]) -> set[str]:
    """Ids of the trials whose files are there; and, where the storage does not see to that, have the right hashes."""
    if not experiment.storage.keeps_checksums:
        return {trial_id for trial_id, record in records.items() if not damaged_files(experiment, record)}
    there = experiment.storage.files("trials")
    return {
        trial_id
        for trial_id, record in records.items()
        if all(f"trials/{trial_id}/{file}" in there for file in record.files)
    }
