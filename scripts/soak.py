"""Kills drivers and workers of real sweeps at random, for as long as asked, and checks that nothing is lost.

    scripts/soak.py --minutes 20                        small grids of real MNIST, one after the other
    scripts/soak.py --minutes 20 --sweep mnist epochs=3 another sweep
    scripts/soak.py --durability                        what a checkpoint every epoch costs

The numbers of every finished experiment are compared with those of an uninterrupted one, trained first and without
Ray; what was trained is counted by the ledger of the fault tests (`tests/faults/`). The tables are Markdown.
"""

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from sweep.records import Checkpoint, Experiment
from sweep.storage import LocalStorage
from sweep.trial import TrialRun

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "faults"))

from harness import Case, Driver, Numbers, mismatches, numbers, planned, uninterrupted

_SMALL = ["mnist", "depth=shallow", "activation=relu,tanh", "loss=cross_entropy,hinge", "epochs=3", "seeds=0,1"]
_DURABILITY = ["mnist", "activation=relu", "loss=cross_entropy", "epochs=5", "seeds=0..2"]
_ROUNDS = 3
# Above any number of kills that one trial can meet, so that lost workers never fail it.
_RETRIES = "max_retries=1000"


class Soak:
    """Experiments under fire, and what became of them."""

    def __init__(self, words: list[str], truth: dict[str, Numbers], rng: random.Random) -> None:
        self._words, self._truth, self._rng = [*words, _RETRIES], truth, rng
        self.counts: Counter[str] = Counter()
        self.most_steps_back = 0

    def run_experiment(self, folder: Path, deadline: float) -> None:
        """Runs one experiment to its end, with kills until the deadline (in `time.monotonic` seconds)."""
        case = Case(folder, name=self._words[0])
        try:
            while True:
                driver = case.start("run", *self._words)
                self.counts["drivers started"] += 1
                if not self._attack(driver, deadline):
                    break
        finally:
            case.end()
        self._count(case, driver)

    def _attack(self, driver: Driver, deadline: float) -> bool:
        """Kills workers of a driver, then perhaps the driver itself; gives whether the driver was killed."""
        while time.monotonic() < deadline:
            aim_at_driver = self._rng.random() < 0.4
            # From Ray's start to the last epoch: a driver also dies before anything is trained.
            rows = 0 if aim_at_driver and self._rng.random() < 0.2 else len(driver.new_rows) + self._rng.randint(1, 3)
            if not _wait(driver, lambda rows=rows: len(driver.new_rows) >= rows):
                break
            time.sleep(self._rng.uniform(0, 2))
            if driver.process.poll() is not None:
                break
            if aim_at_driver:
                driver.kill()
                self.counts["drivers killed"] += 1
                return True
            busy = {pid for _, pid, _, _ in driver.new_rows}
            workers = [process for process in driver.processes("ray::") if process.pid in busy]
            if workers:
                with contextlib.suppress(psutil.NoSuchProcess):  # it was faster
                    self._rng.choice(workers).kill()
                    self.counts["workers killed"] += 1
        driver.wait(600)
        return False

    def _count(self, case: Case, driver: Driver) -> None:
        ledger = case.ledger
        finished = [trial_id for trial_id in self._truth if case.experiment.read_done(trial_id)]
        self.counts["experiments"] += 1
        self.counts["trials finished"] += len(finished)
        self.counts["epochs trained"] += sum(len(ledger.epochs(trial_id)) for trial_id in ledger.trial_ids)
        self.counts["epochs repeated"] += ledger.repeated
        self.counts["finished trials run again"] += len(ledger.rerun)
        self.counts["trials lost"] += len(self._truth) - len(finished)
        self.most_steps_back = max(self.most_steps_back, ledger.steps_back)
        if len(finished) == len(self._truth):
            self.counts["trials with other numbers"] += len(mismatches(numbers(case.experiment), self._truth))
        if driver.process.returncode:
            self.counts["runs that ended wrongly"] += 1
            print(driver.output, file=sys.stderr)

    def table(self, minutes: float) -> str:
        """The counts as a Markdown table."""
        rows = {
            "minutes": f"{minutes:.0f}",
            "kills": f"{self.counts['drivers killed'] + self.counts['workers killed']} "
            f"({self.counts['drivers killed']} of the driver, {self.counts['workers killed']} of a worker)",
            "experiments": self.counts["experiments"],
            "trials finished": self.counts["trials finished"],
            "epochs trained": self.counts["epochs trained"],
            "epochs repeated": f"{self.counts['epochs repeated']} (never more than {self.most_steps_back} of a trial "
            "at a time)",
            **{
                name: self.counts[name]
                for name in (
                    "finished trials run again",
                    "trials lost",
                    "trials with other numbers",
                    "runs that ended wrongly",
                )
            },
        }
        return "\n".join(["| soak | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])

    @property
    def kept_its_promise(self) -> bool:
        """Whether nothing was lost, repeated beyond the promise, or other than uninterrupted."""
        wrong = ("finished trials run again", "trials lost", "trials with other numbers", "runs that ended wrongly")
        return not any(self.counts[name] for name in wrong) and self.most_steps_back <= 1


def soak(words: list[str], minutes: float, seed: int) -> bool:
    """Runs experiments for some minutes and prints the table; gives whether the promise was kept."""
    print(f"seed {seed}; first the uninterrupted numbers of: {' '.join(words)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sweep-soak-") as folder:
        soaking = Soak(words, uninterrupted(Path(folder) / "uninterrupted", words), random.Random(seed))
        begun = time.monotonic()
        deadline, count = begun + 60 * minutes, 0
        while time.monotonic() < deadline:
            soaking.run_experiment(Path(folder) / f"experiment-{count}", deadline)
            count += 1
            print(f"{(time.monotonic() - begun) / 60:5.1f} min: {dict(soaking.counts)}", flush=True)
        print(soaking.table((time.monotonic() - begun) / 60))
    return soaking.kept_its_promise


class _TimedExperiment(Experiment):
    """Counts the seconds of writing checkpoints: hashing, flushing to the disk, renaming, removing old ones."""

    writing_s = 0.0

    def write_checkpoint(self, trial_id: str, epoch: int, content: bytes) -> Checkpoint:
        """Writes a checkpoint."""
        start = time.perf_counter()
        checkpoint = super().write_checkpoint(trial_id, epoch, content)
        self.writing_s += time.perf_counter() - start
        return checkpoint


def durability(words: list[str], folder: Path | None) -> None:
    """Prints how much longer epochs take with a checkpoint after each than with one at the end.

    Two runs of a trial take turns, epoch by epoch, and each epoch is compared with its neighbour: the machine's own
    speed drifts by more than what is measured.
    """
    times: dict[tuple[str, int], list[float]] = {}
    writing: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="sweep-durability-", dir=folder) as scratch:
        manifest, dataset = planned(Path(scratch) / "plan", words)
        for turn in range(_ROUNDS):
            for trial in manifest.trials:
                experiments = {
                    every: _TimedExperiment(LocalStorage(scratch).folder(f"{turn}-{every}")) for every in (1, 1000)
                }
                runs = {
                    every: TrialRun(trial, dataset, experiment, checkpoint_every=every)
                    for every, experiment in experiments.items()
                }
                while runs:
                    first_without = len(times.get((trial.depth, 1), [])) % 2 == 1
                    for every in sorted(runs, reverse=first_without):
                        start = time.perf_counter()
                        ended = runs[every].step()
                        times.setdefault((trial.depth, every), []).append(time.perf_counter() - start)
                        if ended:
                            del runs[every]
                writing.setdefault(trial.depth, []).append(experiments[1].writing_s)
    print(f"{' '.join(words)}; medians of {_ROUNDS} rounds, epochs in turns\n")
    print("| depth | epoch with a checkpoint | of that writing it | epoch without | cost |\n|---|---|---|---|---|")
    for depth, seconds in writing.items():
        with_, without = times[depth, 1], times[depth, 1000]
        share = statistics.median(seconds) / (sum(with_) / _ROUNDS)
        cost = statistics.median(one / other - 1 for one, other in zip(with_, without, strict=True))
        of_epochs = [f"{statistics.median(epochs):.2f} s" for epochs in (with_, without)]
        print(f"| {depth} | {of_epochs[0]} | {share:.1%} | {of_epochs[1]} | {cost:+.1%} |")


def _wait(driver: Driver, condition: Callable[[], bool]) -> bool:
    """Waits until something is true of a run; False if it ends before."""
    while driver.process.poll() is None:
        if condition():
            return True
        time.sleep(0.02)
    return False


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of the random moments")
    parser.add_argument("--sweep", nargs="+", metavar="WORD", help="a built-in sweep and what to change in it")
    parser.add_argument("--durability", action="store_true", help="measure the cost of checkpoints instead")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; the folder for temporary files without it")
    given = parser.parse_args()
    if given.durability:
        durability(given.sweep or _DURABILITY, given.folder)
    else:
        sys.exit(0 if soak(given.sweep or _SMALL, given.minutes, given.seed) else 1)


if __name__ == "__main__":
    main()
