"""Faults of the driver: signals, `kill -9`, and two of them at once."""

import os
import random
import shlex
import signal
import socket
import time

from harness import WORDS, Case, Numbers, check_promise, resume_command


def test_first_ctrl_c_lets_the_running_epochs_end_and_a_second_driver_is_refused(
    case: Case, truth: dict[str, Numbers]
) -> None:
    case.set_faults({"slow_epoch_s": 0.5})
    run = case.start("run", *WORDS)
    run.until_epochs(2)

    second = case.sweep("run", *WORDS)
    assert second.process.returncode == 2
    assert len(second.output.splitlines()) == 1
    assert f"in use by process {run.process.pid} on {socket.gethostname()}" in second.output

    run.interrupt()
    begun = time.monotonic()
    assert run.wait() == 130
    assert time.monotonic() - begun < 10
    words = shlex.split(resume_command(run.last_line))
    assert words == ["sweep", "resume", "smoke", "--storage", str(case.storage)]
    saved = case.experiment.checkpointed_epochs()
    assert saved == {trial_id: max(case.ledger.epochs(trial_id)) for trial_id in case.ledger.trial_ids}
    run.until_gone()

    # The resumed run is stopped too, in epochs that take too long for anybody's patience.
    case.set_faults({"slow_epoch_s": 30})
    run = case.start(*words[1:3])
    run.until(lambda: "to train" in run.output)
    time.sleep(1)
    run.interrupt()
    begun = time.monotonic()
    assert run.wait() == 130
    assert time.monotonic() - begun < 10
    resume_command(run.last_line)
    run.until_gone()

    case.set_faults()
    again = case.sweep(*words[1:3])
    assert again.process.returncode == 0, again.output
    assert case.ledger.repeated == 0
    check_promise(case, truth)


def test_second_ctrl_c_leaves_at_once(case: Case, truth: dict[str, Numbers]) -> None:
    case.set_faults({"slow_epoch_s": 5})
    run = case.start("run", *WORDS)
    run.until(lambda: "to train" in run.output)
    time.sleep(1)
    run.interrupt()
    time.sleep(0.5)
    begun = time.monotonic()
    run.interrupt()
    assert run.wait() == 130
    assert time.monotonic() - begun < 3
    resume_command(run.last_line)
    run.until_gone()


def test_ctrl_c_while_ray_starts_leaves_at_once_with_nothing_made(case: Case) -> None:
    run = case.start("run", *WORDS)
    run.until(lambda: "starting Ray" in run.output)
    time.sleep(1)
    run.interrupt()
    begun = time.monotonic()
    assert run.wait() == 130
    assert time.monotonic() - begun < 3
    assert run.last_line == "stopped; nothing was trained"
    run.until_gone()


def test_sigterm_is_handled_like_ctrl_c(case: Case, truth: dict[str, Numbers]) -> None:
    case.set_faults({"slow_epoch_s": 0.3})
    run = case.start("run", *WORDS)
    run.until_epochs(2)
    run.interrupt(signal.SIGTERM)
    begun = time.monotonic()
    assert run.wait() == 143
    assert time.monotonic() - begun < 10
    assert "*** SIGTERM" not in run.output  # Ray's handler prints a C++ stack
    resume_command(run.last_line)
    assert case.ledger.repeated == 0


def test_driver_killed_while_writing_each_kind_of_file(case: Case, cluster: str, truth: dict[str, Numbers]) -> None:
    case.set_faults({"kill_before_rename": "*/lock.json"})
    assert case.sweep("run", *WORDS, address=cluster).process.returncode == -signal.SIGKILL
    assert case.experiment.storage.list() == []
    case.set_faults({"kill_before_rename": "*/test_split.npz"})
    assert case.sweep("run", *WORDS, address=cluster).process.returncode == -signal.SIGKILL
    assert case.experiment.storage.list() == ["lock.json"]
    case.set_faults({"kill_before_rename": "*/manifest.json"})
    assert case.sweep("run", *WORDS, address=cluster).process.returncode == -signal.SIGKILL
    assert case.experiment.read_manifest() is None
    assert case.ledger.rows == ()
    run = case.sweep("run", *WORDS, address=cluster)
    assert run.process.returncode == 0, run.output
    assert case.ledger.repeated == 0
    check_promise(case, truth)


def test_driver_killed_ten_times_at_random_moments(case: Case, cluster: str, truth: dict[str, Numbers]) -> None:
    seed = int(os.environ.get("SWEEP_FAULT_SEED", time.time_ns() % 1_000_000))
    print(f"SWEEP_FAULT_SEED={seed}")
    rng = random.Random(seed)
    case.set_faults({"slow_epoch_s": 0.1})
    for kill in range(10):
        run = case.start("run", *WORDS, address=None if kill < 6 else cluster)
        if kill < 3:  # while Ray starts
            run.until(lambda run=run: "starting Ray" in run.output)
            time.sleep(rng.uniform(0, 3))
        else:
            run.until_epochs(rng.randint(1, 5))
            time.sleep(rng.uniform(0, 0.2))
        run.kill()
        if kill in (0, 2, 5):  # the others are followed at once, beside workers that do not know yet
            run.until_gone()
    case.set_faults()
    run = case.sweep("run", *WORDS)
    assert run.process.returncode == 0, run.output
    assert case.ledger.repeated <= 2 * 7
    check_promise(case, truth)
