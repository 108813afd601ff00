"""Shows a run while it goes on: one live table on a terminal, else one line per finished trial.

Owns nothing but words and layout; `sweep.launch` calls it.
"""

import math
import statistics
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweep.config import CONFIRMATION, TrialConfig
from sweep.metrics import Score
from sweep.records import Manifest, State

# A step costs time beyond its arithmetic: about that of this many parameters, on the machines measured.
_STEP_OVERHEAD_PARAMETERS = 40_000
_SHOWN_TRIALS = 12
_RANKED_ROWS = 30
_LEFT_OUT_ROWS = 5


class Lines:
    """Prints one line for each event that a log should have; also what a live table is drawn from.

    Args:
        console: Where to print; standard error, so that standard output stays the command's answer.
        quiet: Whether only failures are printed.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._trials: dict[str, TrialConfig] = {}
        self._weights: dict[str, float] = {}
        self._epochs: dict[str, int] = {}
        self._latest: dict[str, Mapping[str, Any]] = {}
        self._running: list[str] = []
        self._total = self._done = self._failed = 0
        self._begun = time.monotonic()
        self._work = self._total_work = 0.0
        self._work_before: float | None = None
        self._shown: list[Score] = []  # on the training split and, where there is one, on the validation split

    def say(self, text: str) -> None:
        """Shows one line."""
        if not self._quiet:
            self._console.print(text, style="dim", soft_wrap=True)

    def warn(self, text: str) -> None:
        """Shows one line that must be seen, also if quiet."""
        self._console.print(f"warning: {text}", style="yellow", soft_wrap=True)

    def begin(self, manifest: Manifest, left: list[TrialConfig]) -> None:
        """Training starts; the trials that are not `left` are finished."""
        self._trials = {trial.trial_id: trial for trial in left}
        self._weights = {
            trial.trial_id: len(trial.seeds) * (manifest.parameters(trial) + _STEP_OVERHEAD_PARAMETERS)
            for trial in left
        }
        criterion, sizes = manifest.criterion, {"train": 1, "validation": manifest.dataset.validation_size}
        self._shown = [criterion.on(split) for split in sizes if sizes[split] and split in criterion.metric.splits]
        self._total_work = sum(self._weights[trial.trial_id] * trial.epochs for trial in left)
        self._total, self._done = len(manifest.trials), len(manifest.trials) - len(left)
        replicates = sum(len(trial.seeds) for trial in left)
        confirming = sum(trial.role == CONFIRMATION for trial in left)
        of_them = f", {confirming} of the trials to confirm finalists" if confirming else ""
        self.say(f"{manifest.name}: {len(left)} of {self._total} trials to train, {replicates} models{of_them}")

    def show(self, report: Mapping[str, Any]) -> None:
        """Shows what has become of a trial; see `sweep.tuning.trials.Listener` for what a report says."""
        trial_id, outcome = report["trial_id"], report["outcome"]
        if outcome == "started" and trial_id not in self._running:
            self._running.append(trial_id)
        if outcome in ("epoch", "done"):
            self._note(trial_id, report)
        if outcome in ("done", "failed") and trial_id in self._running:
            self._running.remove(trial_id)
        if outcome == "done":
            self._done += 1
            self._show_done(trial_id, report)
        elif outcome == "failed":
            self._failed += 1
            text = f"FAILED {self._title(trial_id)}: {report['reason']} (trials/{trial_id}/error.txt)"
            self._console.print(text, style="red", soft_wrap=True)
        elif outcome == "retried":
            self.say(f"retrying {self._title(trial_id)}: {report['reason']}")

    def end(self) -> None:
        """Training has ended."""

    def time_left(self) -> str:
        """Says how long it may take, from the work done since the first epoch ended; "" before."""
        # Trials that go on from a checkpoint begin with work that this run did not do.
        if self._work_before is None:
            self._work_before, self._begun = self._work, time.monotonic()
        if self._work <= self._work_before:
            return ""
        elapsed_s = time.monotonic() - self._begun
        seconds = (self._total_work - self._work) * elapsed_s / (self._work - self._work_before)
        return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"

    def _show_done(self, trial_id: str, report: Mapping[str, Any]) -> None:
        left, shown = self.time_left(), self._shown[-1]
        value = report[shown.column]
        self.say(
            f"[{self._done}/{self._total}] {self._title(trial_id)}  {shown.title} {shown.metric.phrase(value)}  "
            f"{report['train_time_s']:.1f} s{f', {left} left' if left else ''}"
        )

    def _title(self, trial_id: str) -> str:
        return self._trials[trial_id].title if trial_id in self._trials else trial_id

    def _note(self, trial_id: str, report: Mapping[str, Any]) -> None:
        # Added up as it comes: an event may not cost more the more trials there are.
        self._work += self._weights[trial_id] * (report["epoch"] - self._epochs.get(trial_id, 0))
        self._epochs[trial_id], self._latest[trial_id] = report["epoch"], report
        self.time_left()


class LiveTable(Lines):
    """Draws one table that stays in place: what runs, what it has reached, what is left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live: Live | None = None
        self._recent: list[str] = []

    def begin(self, manifest: Manifest, left: list[TrialConfig]) -> None:
        """Training starts; the trials that are not `left` are finished."""
        super().begin(manifest, left)
        self._live = Live(console=self._console, get_renderable=self._draw, refresh_per_second=4, transient=True)
        self._live.start()

    def end(self) -> None:
        """Training has ended."""
        if self._live:
            self._live.stop()
            self._live = None

    def _show_done(self, trial_id: str, report: Mapping[str, Any]) -> None:
        self._recent = [trial_id, *self._recent[: _SHOWN_TRIALS - 1]]

    def _draw(self) -> RenderableType:
        headings = ("trial", "epoch", *(one.split for one in self._shown), "state")
        table = make_table(headings, names=["trial"], overflow="ellipsis")
        running, recent = list(self._running), list(self._recent)
        shown = running[:_SHOWN_TRIALS] + recent[: max(_SHOWN_TRIALS - len(running), 0)]
        for trial_id in shown:
            latest = self._latest.get(trial_id)
            table.add_row(
                self._title(trial_id),
                f"{self._epochs.get(trial_id, 0)}/{self._trials[trial_id].epochs}",
                *(one.metric.phrase(latest[one.column]) if latest else "" for one in self._shown),
                Text("running", style="cyan") if trial_id in running else Text("done", style="green"),
            )
        to_do = self._total - self._done - self._failed - len(running)
        counts = f"{self._done} done, {len(running)} running, {to_do} to do" + (
            f", {self._failed} failed" if self._failed else ""
        )
        left = self.time_left()
        line = Table.grid(padding=(0, 2))
        line.add_row(
            ProgressBar(total=self._total, completed=self._done, width=30), counts, f"{left} left" if left else ""
        )
        return Group(table, line)


def make_console(*, least_width: int = 0, stderr: bool = False) -> Console:
    """Gives a console that prints names as they are, not as markup; a terminal narrower than that breaks the lines."""
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    console.width = max(console.width, least_width)
    return console


def make_table(headings: Iterable[str], *, names: Collection[str], overflow: OverflowMethod = "fold") -> Table:
    """Gives a table whose columns of names give way in a narrow terminal, so that its numbers are never cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        is_name = heading in names
        table.add_column(heading, justify="left" if is_name else "right", no_wrap=not is_name, overflow=overflow)
    return table


def make_display(*, quiet: bool) -> Lines:
    """Gives the display that fits where the output goes."""
    console = make_console(stderr=True)
    return LiveTable(console) if console.is_terminal and not quiet else Lines(console, quiet=quiet)


def ranking(state: State) -> RenderableType:
    """Gives the table for the end of a run: every configuration by the selection score, 80 columns wide."""
    from sweep.report.formats import several
    from sweep.table import TIME, read_grid

    grid = read_grid(state)
    criterion, tested, metric = grid.criterion, grid.tested, grid.metric
    table = make_table(("#", "configuration", criterion.split, "test", "time"), names=["configuration"])
    means, test_means, spreads = grid.means(criterion), grid.means(tested), grid.scores(criterion)
    ranked = grid.ranked()
    for rank, k in ranked[:_RANKED_ROWS]:
        configuration = grid.configurations[k]
        known = [score for score in spreads[k].tolist() if math.isfinite(score)]
        spread = f" ± {metric.difference(statistics.stdev(known))}" if len(known) > 1 else ""
        table.add_row(
            str(rank),
            " ".join(configuration.cells.values()),
            metric.text(means[k]) + spread,
            metric.text(test_means[k]),
            TIME.metric.text(configuration.mean(TIME)),
        )
    seeds = len(state.manifest.sweep.seeds)
    unit = "in percent " if metric.unit == "%" else ""
    caption = (
        f"{criterion.title} and {tested.title} {unit}(mean{' ± standard deviation' if seeds > 1 else ''} of "
        f"{several(seeds, 'seed')}), seconds of training per model; ranked by {criterion.title}, never by test"
    )
    if len(ranked) > _RANKED_ROWS:
        caption = f"... and {len(ranked) - _RANKED_ROWS} more in the report; {caption}"
    parts: list[RenderableType] = [table, Text(caption, style="dim")] if ranked else []
    lost = [(one.point, f"diverged in {one.count} of {one.n} seeds") for one in grid.diverged]
    left_out = [*lost, *grid.left_out]
    for point, reason in left_out[:_LEFT_OUT_ROWS]:
        parts.append(Text(f"not compared: {' '.join(level.cell for level in point.levels)} ({reason})"))
    if len(left_out) > _LEFT_OUT_ROWS:
        parts.append(Text(f"... and {len(left_out) - _LEFT_OUT_ROWS} more that are not compared"))
    return Group(*parts)
