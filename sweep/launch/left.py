"""What is left to do: the manifest that a run is to fulfil, minus what is finished."""

from collections.abc import Mapping

from sweep.config import SweepConfig, TrialConfig, check_trainable
from sweep.launch.request import Confirmation, Launch
from sweep.plan import check_same_confirmation, check_same_sweep, confirm_manifest, extend_manifest
from sweep.records import DoneRecord, Experiment, Manifest
from sweep.verify import damaged_files

_FEWEST_FRESH_SEEDS = 3  # unless the user asks for fewer


def wanted_manifest(sweep: SweepConfig, launch: Launch) -> Manifest | None:
    """Gives the manifest that a run is to fulfil: as it is, extended or with a confirmation; None if there is none."""
    manifest = launch.experiment.read_manifest()
    if manifest and launch.extend:
        return extend_manifest(manifest, sweep, command=launch.command)
    if manifest:
        check_same_sweep(manifest, sweep)
    if manifest and launch.confirm:
        return _with_confirmation(manifest, launch, launch.confirm)
    return manifest


def _with_confirmation(manifest: Manifest, launch: Launch, asked: Confirmation) -> Manifest:
    if manifest.confirmations:
        check_same_confirmation(manifest, count=asked.count, num_seeds=asked.num_seeds)
        return manifest
    from sweep.report.finalists import find_finalists  # imports what a report needs

    finalists = find_finalists(launch.experiment, asked.count)
    num_seeds = asked.num_seeds or max(finalists.num_seeds, _FEWEST_FRESH_SEEDS)
    return confirm_manifest(manifest, finalists.points, num_seeds, command=launch.command)


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
