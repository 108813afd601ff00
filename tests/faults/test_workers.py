"""Faults of workers and of Ray, and errors in code, while the driver lives."""

import os
import signal

from harness import WORDS, Case, Numbers, check_promise, resume_command

from sweep.machine import num_cpus


def test_worker_killed_while_writing_each_kind_of_file_is_retried(
    case: Case, cluster: str, truth: dict[str, Numbers]
) -> None:
    case.set_faults(
        {"kill_before_rename": "*-relu-cross_entropy-*/checkpoint-000005-*"},
        {"kill_before_rename": "*-relu-hinge-*/predictions.npz"},
        {"kill_before_rename": "*-tanh-hinge-*/done.json"},
    )
    run = case.sweep("run", *WORDS, address=cluster)
    assert run.process.returncode == 0, run.output
    assert run.output.count("retrying") == 3
    assert case.ledger.repeated == 1
    check_promise(case, truth)


def test_worker_killed_in_an_epoch_without_retries_left_fails_its_trial_alone(
    case: Case, cluster: str, truth: dict[str, Numbers]
) -> None:
    case.set_faults({"slow_epoch_s": 0.1})
    run = case.start("run", *WORDS, "max_retries=0", address=cluster)
    run.until_epochs(3)
    _, pid, killed, _ = case.ledger.rows[-1]
    os.kill(pid, signal.SIGKILL)
    case.set_faults()
    assert run.wait() == 1, run.output
    assert f"FAILED {killed}: its worker or node was lost once" in run.output
    assert "INCOMPLETE 3/4, 1 failed" in run.last_line
    assert "max_retries" in (case.experiment.read_error(killed) or "")

    again = case.sweep("resume", "smoke", address=cluster)
    assert again.process.returncode == 0, again.output
    assert {trial_id for _, _, trial_id, _ in again.new_rows} == {killed}
    assert case.experiment.read_error(killed) is None
    check_promise(case, truth)


def test_a_lost_worker_costs_only_the_trial_of_the_pack_that_it_was_training(
    case: Case, cluster: str, truth: dict[str, Numbers]
) -> None:
    case.set_faults(
        {"kill_before_rename": "*-relu-hinge-*/checkpoint-000005-*"}, {"raise_in": "*-tanh-cross_entropy-*"}
    )
    run = case.sweep("run", *WORDS, "max_retries=0", "pack=4", address=cluster)
    assert run.process.returncode == 1, run.output
    assert "INCOMPLETE 2/4, 2 failed" in run.last_line
    failed = {trial_id for trial_id in truth if case.experiment.read_error(trial_id)}
    assert failed == {trial_id for trial_id in truth if "relu-hinge" in trial_id or "tanh-cross_entropy" in trial_id}
    assert len({pid for _, pid, _, _ in run.new_rows}) == 2  # the worker that was lost, and the one after it

    case.set_faults()
    again = case.sweep("resume", "smoke", "--failed", address=cluster)
    assert again.process.returncode == 0, again.output
    assert {trial_id for _, _, trial_id, _ in again.new_rows} == failed
    check_promise(case, truth)


def test_error_in_code_fails_its_trial_at_once_and_resume_failed_runs_exactly_it(
    case: Case, cluster: str, truth: dict[str, Numbers]
) -> None:
    case.set_faults({"raise_in": "*-tanh-cross_entropy-*"}, {"slow_epoch_s": 0.05})
    run = case.start("run", *WORDS, address=cluster)
    run.until(lambda: "FAILED" in run.output)
    os.killpg(run.process.pid, signal.SIGINT)  # so that beside the failed trial others are left
    assert run.wait() == 130, run.output
    assert run.output.count("FAILED") == 1
    assert "retrying" not in run.output
    (failed,) = [trial_id for trial_id in truth if "tanh-cross_entropy" in trial_id]
    traceback = case.experiment.read_error(failed)
    assert traceback
    assert traceback.startswith("Traceback")
    assert "RuntimeError: a fault in the code of this trial" in traceback
    assert failed not in case.ledger.trial_ids

    only_failed = case.sweep("resume", "smoke", "--failed", address=cluster)
    assert only_failed.process.returncode == 1, only_failed.output
    assert {trial_id for _, _, trial_id, _ in only_failed.new_rows} == {failed}

    again = case.sweep("resume", "smoke", address=cluster)
    assert again.process.returncode == 0, again.output
    check_promise(case, truth)


def test_raylet_killed_ends_the_run_with_the_command_that_resumes(case: Case, truth: dict[str, Numbers]) -> None:
    case.set_faults({"slow_epoch_s": 0.2})
    run = case.start("run", *WORDS)
    run.until(lambda: len({pid for _, pid, _, _ in run.new_rows}) == min(num_cpus(), 4))  # every worker trains
    lines = [" ".join(process.cmdline()) for process in run.processes()]
    needless = ("ray::IDLE", "monitor.py", "dashboard.py")  # the first: a worker that waits while another trains
    assert [line for line in lines if any(name in line for name in needless)] == []
    (raylet,) = run.processes("raylet")
    raylet.kill()
    assert run.wait(10) == 1
    assert "Ray's process raylet has ended" in run.last_line
    assert resume_command(run.last_line).startswith("sweep resume smoke --storage ")
    run.until_gone()
