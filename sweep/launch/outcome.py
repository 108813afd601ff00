"""How a run ended, as the files say."""

from dataclasses import dataclass

from sweep.records import Experiment, Manifest


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended, as the files say.

    Attributes:
        total: Trials of the manifest.
        done: Trials that are finished.
        failed: Ids of the trials that failed.
        signal_number: Of the signal that ended the run, 0 for none.
        problem: Why the whole run stopped early, "" if it did not.
    """

    total: int
    done: int
    failed: tuple[str, ...] = ()
    signal_number: int = 0
    problem: str = ""

    @property
    def complete(self) -> bool:
        """Whether every trial is finished."""
        return self.done == self.total

    @property
    def exit_code(self) -> int:
        """0 complete, 1 incomplete, 128 plus the number of a signal."""
        return 0 if self.complete else 128 + self.signal_number if self.signal_number else 1


def read_outcome(experiment: Experiment, manifest: Manifest, *, signal_number: int = 0, problem: str = "") -> Outcome:
    """Says how complete an experiment is."""
    trial_ids = [trial.trial_id for trial in manifest.trials]
    done = experiment.read_all_done(trial_ids)
    return Outcome(
        total=len(trial_ids),
        done=len(done),
        failed=tuple(experiment.read_errors([trial_id for trial_id in trial_ids if trial_id not in done])),
        signal_number=signal_number,
        problem=problem,
    )
