"""Sweeps into a bucket of a real S3 server, through a proxy that makes faults happen."""

import json
import shlex
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import run_command
from harness import NAME, WORDS, Case, Numbers, check_promise, resume_command
from object_store import Bucket, Fault

from sweep.records import open_experiment, read_state
from sweep.storage import LocalStorage

PLENTY = 10**9


@pytest.fixture
def stored(tmp_path: Path, bucket: Bucket) -> Iterator[Case]:
    """A case whose storage is a bucket."""
    case = Case(tmp_path, uri=bucket.uri, variables=bucket.environment)
    yield case
    case.end()


def unsteady() -> list[Fault]:
    """What happens on a bad day."""
    return [
        Fault("InternalError", times=8, every=7),
        Fault("SlowDown", times=8, every=11),
        Fault("reset", times=8, every=13),
        Fault("lost", times=8, every=17, method="PUT"),
        Fault("slow", times=30, every=5),
    ]


def test_sweep_in_a_bucket_survives_faults_kills_and_an_outage_with_the_same_numbers(
    stored: Case, bucket: Bucket, truth: dict[str, Numbers], tmp_path: Path
) -> None:
    case = stored
    bucket.faults = unsteady()
    case.set_faults({"slow_epoch_s": 0.1}, {"kill_before_put": "trials/*/done.json"})
    run = case.start("run", *WORDS)
    run.until_epochs(8)
    run.kill()
    run.until_gone()
    outputs = run.output
    assert sum(fault.happened for fault in bucket.faults) > 10

    bucket.faults.clear()
    case.variables["SWEEP_FAULT_PATIENCE_S"] = "2"
    run = case.start("run", *WORDS)
    run.until_epochs(4)
    bucket.faults = [Fault("reset", times=PLENTY)]
    assert run.wait() == 1, run.output
    del case.variables["SWEEP_FAULT_PATIENCE_S"]
    outputs += run.output
    assert f"error: cannot reach {bucket.uri}/{NAME}" in run.output
    assert f"from {socket.gethostname()}" in run.output
    assert "Traceback" not in run.output
    words = shlex.split(resume_command(run.last_line))
    assert words == ["sweep", "resume", NAME, "--storage", bucket.uri]
    run.until_gone()

    bucket.faults = unsteady()
    run = case.sweep(*words[1:3])  # a worker is killed within, before a done record
    assert run.process.returncode == 0, run.output
    outputs += run.output
    assert len(list(case.faults.glob("happened-1-*"))) == 1
    assert case.ledger.repeated <= 6
    check_promise(case, truth)

    bucket.faults.clear()
    verbs = {
        "status": ("status", NAME, "--storage", bucket.uri),
        "list": ("list", "--storage", bucket.uri),
        "verify": ("verify", NAME, "--storage", bucket.uri),
        "report": ("report", NAME, "--storage", bucket.uri, "--out", str(tmp_path / "report")),
    }
    said = {}
    for verb, line in verbs.items():
        finished = run_command(*line, cwd=tmp_path)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        said[verb] = finished.stdout
        outputs += finished.stdout + finished.stderr
    assert said["status"] == "smoke: 4/4 trials done, 0 failed, 0 left\n"
    assert "smoke: 4/4 trials done, 0 failed" in said["list"]
    assert "smoke is whole and its scores are those of its weights" in said["verify"]

    objects = bucket.objects()
    below = f"team/sweeps/{NAME}/"
    names = {key.removeprefix(below).rpartition("/")[2][:10] for key, content in objects.items() if content}
    assert names == {"manifest.j", "test_split", "checkpoint", "prediction", "done.json"} | {
        name for name in names if name.startswith("events-")
    }
    assert all(key.startswith(below) for key, content in objects.items() if content)
    copy = tmp_path / "copy"
    for key, content in objects.items():
        if content:
            LocalStorage(copy).write(key.removeprefix("team/sweeps/"), content)
    records = read_state(open_experiment(LocalStorage(copy), NAME))
    assert records.complete
    assert [event["event"] for event in records.events].count("run_started") == 3
    assert records.events[-1]["event"] == "run_finished"

    written = [file.read_bytes() for file in (tmp_path / "report").rglob("*") if file.is_file()]
    assert len(written) > 10
    for text in (*objects.values(), *written, outputs.encode()):
        assert bucket.secret.encode() not in text
        assert b"hunter2" not in text


def test_node_without_credentials_is_found_before_training(cluster: str, bucket: Bucket, tmp_path: Path) -> None:
    uri = f"{bucket.uri}?endpoint_override={bucket.environment['AWS_ENDPOINT_URL']}&region=us-east-1"
    case = Case(tmp_path, uri=uri, variables=bucket.environment)
    run = case.sweep("run", *WORDS, address=cluster)
    assert run.process.returncode == 2, run.output
    assert "permission denied; give credentials that may read, write, list and delete there" in run.last_line
    assert "Traceback" not in run.output
    assert bucket.secret not in run.output
    assert bucket.objects() == {}


def test_sigterm_leaves_a_bucket_that_can_be_looked_at(stored: Case, bucket: Bucket) -> None:
    stored.set_faults({"slow_epoch_s": 0.3})
    run = stored.start("run", *WORDS)
    run.until_epochs(3)
    bucket.faults = [Fault("stall", times=PLENTY)]  # two signals must do without the store
    run.interrupt(signal.SIGTERM)
    run.interrupt(signal.SIGTERM)
    assert run.wait(10) == 143
    assert resume_command(run.last_line)
    bucket.faults.clear()
    finished = run_command("status", NAME, "--storage", bucket.uri, "--json", cwd=stored.folder)
    epochs = [row["epoch"] for row in json.loads(finished.stdout)["trials"]]
    assert sum(epochs) >= 1
