"""What may end a run early: Ctrl-C, SIGTERM, another driver that has taken the lock, a cluster that is lost."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sweep.display import Lines

# A user's patience after Ctrl-C is 10 s; what is left of it after this goes into leaving.
_EPOCH_MAY_END_WITHIN_S = 7.0


class Interruption:
    """Ends a run: with its running epochs while it is training, at once before that or when it is asked twice.

    Attributes:
        exists: Whether there is an experiment to go on with; a storage may not answer when a signal comes.
        training: Whether trials are being trained.
        stop: Set when training is to end with the running epochs.
        signal_number: Of the last signal that came, 0 for none.
        problem: Why the run cannot go on, "" if it can.
    """

    def __init__(self, display: "Lines", resume_command: str, *, exists: bool) -> None:
        self._display, self._resume_command = display, resume_command
        self.exists, self.training = exists, False
        self.stop, self._ended = threading.Event(), threading.Event()
        self.signal_number = 0
        self.problem = ""

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Handles Ctrl-C and SIGTERM."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.take_signals()
        try:
            yield
        finally:
            self._ended.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def take_signals(self) -> None:
        """Called again after Ray has started, which replaces whatever handlers there are."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def lock_lost(self) -> None:
        """Another driver holds the lock."""
        self.problem = "another driver has taken over the experiment"
        self.stop.set()

    def cluster_lost(self, what: str) -> None:
        """Ray has gone, and would be waited for in vain."""
        self._leave(1, f"error: {what}")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        second, self.signal_number = self.signal_number, number
        if second or not self.training:
            self._leave(128 + number, "stopped")
        self.stop.set()
        # Not in this handler: it may have interrupted the very thread that is printing.
        threading.Thread(target=self._leave_in_time, daemon=True).start()

    def _leave_in_time(self) -> None:
        self._display.say("stopping when the running epochs have ended; once more to leave at once")
        if not self._ended.wait(_EPOCH_MAY_END_WITHIN_S):
            self._leave(128 + self.signal_number, "stopped")

    def _leave(self, exit_code: int, reason: str) -> NoReturn:
        """Leaves without waiting for anything; the guard ends Ray's processes, the files are whole at any time."""
        ending = threading.Thread(target=self._display.end, daemon=True)
        ending.start()
        ending.join(1.0)  # the thread that was interrupted may hold what the display waits for
        advice = f"go on with: {self._resume_command}" if self.exists else "nothing was trained"
        with contextlib.suppress(OSError):  # nobody may be there to read it
            os.write(2, f"{reason}; {advice}\n".encode(errors="replace"))
        os._exit(exit_code)
