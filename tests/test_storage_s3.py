"""What only an object store has: requests that fail, refusals, and a lock without conditional puts."""

import json
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command import run_command
from object_store import ACCESS_KEY, Bucket, Fault

from sweep import lock as locks
from sweep.doctor import check_space
from sweep.errors import ExperimentError, StorageError
from sweep.lock import STALE_AFTER_S, Lock, read_holder
from sweep.records import Experiment, list_experiments, open_experiment
from sweep.storage import Storage, base, open_storage, s3

PLENTY = 10**9


@pytest.fixture
def storage(bucket: Bucket) -> Storage:
    return open_storage(bucket.uri)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a minute takes a second."""
    monkeypatch.setattr(s3, "PATIENCE_S", 1.0)
    monkeypatch.setattr(s3, "IMPATIENCE_S", 0.5)


# ---- requests that fail


@pytest.mark.parametrize("kind", ["InternalError", "SlowDown", "reset", "slow", "lost"])
def test_faults_of_a_moment_are_not_noticed(bucket: Bucket, storage: Storage, kind: str) -> None:
    bucket.faults.append(Fault(kind, times=8, every=2))
    large = bytes(12_000_000)
    storage.write("trials/a/small", b"small")
    storage.write("trials/a/large", large)
    storage.append("events.jsonl", "{}")
    storage.flush()
    assert storage.read("trials/a/small") == b"small"
    assert storage.read("trials/a/large") == large
    assert storage.read_lines("events.jsonl") == ["{}"]
    storage.rename("trials/a/small", "trials/a/renamed")
    storage.delete("trials/a/large")
    assert storage.list("trials/a") == ["renamed"]
    assert storage.create("trials/a/new", b"x")
    assert bucket.faults[0].happened >= 4
    assert {key.partition("-")[0] for key in bucket.file_keys()} == {
        "team/sweeps/trials/a/renamed",
        "team/sweeps/trials/a/new",
        "team/sweeps/events",
    }


def test_answer_that_never_comes_is_asked_for_again(
    bucket: Bucket, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_SILENCE_TIMEOUT_S", 1.0)
    bucket.faults.append(Fault("stall"))
    storage.write("file", b"content")
    assert storage.read("file") == b"content"
    assert bucket.faults[0].happened == 1


@pytest.mark.usefixtures("impatient")
def test_upload_that_fails_in_the_middle_leaves_the_old_file(bucket: Bucket, storage: Storage) -> None:
    storage.write("large", b"old")
    bucket.faults.append(Fault("InternalError", times=PLENTY, method="PUT", path="partNumber=2"))
    with pytest.raises(StorageError, match="cannot reach"):
        storage.write("large", bytes(25_000_000))
    assert storage.read("large") == b"old"
    bucket.faults.clear()
    storage.write("large", bytes(25_000_000))
    assert bucket.objects() == {"team/sweeps/large": bytes(25_000_000)}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["InternalError", "SlowDown", "reset"])
def test_store_that_stays_away_is_given_up_in_one_line(bucket: Bucket, storage: Storage, kind: str) -> None:
    storage.write("file", b"content")
    bucket.faults.append(Fault(kind, times=PLENTY))
    for request in (lambda: storage.write("file", b"x"), lambda: storage.read("file"), lambda: storage.list()):
        with pytest.raises(StorageError) as error:
            request()
        text = str(error.value)
        assert f"cannot reach {bucket.uri}" in text
        assert f"from {socket.gethostname()}" in text
        assert "try again: nothing that was written is lost" in text
        assert "\n" not in text
    bucket.faults.clear()
    assert storage.read("file") == b"content"


@pytest.mark.usefixtures("impatient")
def test_lines_that_could_not_be_written_are_written_later(
    bucket: Bucket, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.append("events.jsonl", "1")
    bucket.faults.append(Fault("reset", times=PLENTY))
    with pytest.raises(StorageError):
        storage.flush()
    bucket.faults.clear()
    monkeypatch.setattr(base, "_HELD_S", 0.05)
    storage.append("events.jsonl", "2")  # and now by themselves
    while storage.read_lines("events.jsonl") != ["1", "2"]:
        time.sleep(0.05)


def test_lines_fill_few_segments_that_are_each_written_few_times(
    bucket: Bucket, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_FULL_BYTES", 1000)
    lines = [json.dumps({"time": "2026-01-01", "number": number}) for number in range(200)]
    for number, line in enumerate(lines):
        storage.append("events.jsonl", line)
        if number % 20 == 19:
            storage.flush()
    assert storage.read_lines("events.jsonl") == lines
    sizes = [len(content) for content in bucket.objects().values()]
    assert max(sizes) <= 2000
    assert sum(method == "PUT" for method, _ in bucket.requests) == 10


# ---- refusals


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("AccessDenied", "permission denied; give credentials that may read, write, list and delete there"),
        ("InvalidAccessKeyId", "the access key is not known there; check AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "the secret key is not that of the access key; check AWS_ACCESS_KEY_ID"),
        ("ExpiredToken", "expired credentials"),
    ],
)
def test_refusal_is_one_line_at_once_without_the_secret(bucket: Bucket, storage: Storage, kind: str, says: str) -> None:
    bucket.faults.append(Fault(kind, times=PLENTY))
    for request in (lambda: storage.write("file", b"x"), lambda: storage.list(), storage.check_writable):
        with pytest.raises(StorageError) as error:
            request()
        assert f"cannot use {bucket.uri}" in str(error.value)
        assert says in str(error.value)
        assert "\n" not in str(error.value)
        assert bucket.secret not in str(error.value)
    assert len(bucket.requests) <= 4


def test_mistakes_are_one_line_of_the_command_and_make_nothing(bucket: Bucket, tmp_path: Path) -> None:
    mistakes = {
        "there is no such bucket; make it, or check its name": (f"s3://{bucket.name}-not/x", {}),
        "the access key is not known there": (bucket.uri, {"AWS_ACCESS_KEY_ID": "AKIAOFSOMEBODYELSE00"}),
        "permission denied; give credentials": (bucket.uri, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}),
        "check the network and AWS_ENDPOINT_URL": (bucket.uri, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}),
        "has credentials in it": (f"s3://{ACCESS_KEY}:{bucket.secret}@{bucket.name}/x", {}),
    }
    for says, (uri, variables) in mistakes.items():
        for words in (("run", "smoke"), ("list",)):
            finished = run_command(*words, "--storage", uri, cwd=tmp_path, variables=variables)
            assert finished.returncode == 2, finished.stderr
            assert len(finished.stderr.splitlines()) == 1
            assert says in finished.stderr
            assert finished.stderr.startswith("error: ")
            assert bucket.secret not in finished.stderr + finished.stdout
    assert bucket.objects() == {}
    assert list(tmp_path.iterdir()) == []


def test_endpoint_and_credentials_come_from_a_profile_too(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = bucket.environment["AWS_ENDPOINT_URL"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(f"[profile lab]\nregion = eu-west-1\nendpoint_url = {endpoint}\n")
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {bucket.secret}\n"
    )
    code = (
        "import sys; from sweep.storage import open_storage\n"
        "storage = open_storage(sys.argv[1]); storage.write('file', b'x'); print(storage.list())"
    )
    variables = {
        "AWS_PROFILE": "lab",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = subprocess.run(  # pyarrow reads the profile once per process
        [sys.executable, "-c", code, bucket.uri], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "['file']"
    assert bucket.file_keys() == ["team/sweeps/file"]


# ---- what else is different


def test_requests_do_not_grow_with_what_was_trained(bucket: Bucket, storage: Storage) -> None:
    for name in ("one", "two"):
        for trial in range(30):
            bucket.put(f"team/sweeps/{name}/trials/t{trial}/done.json", b"{}")
        bucket.put(f"team/sweeps/{name}/manifest.json", b"{}")
    bucket.put("team/sweeps/neither/file", b"")
    assert list_experiments(storage) == ["one", "two"]
    assert len(bucket.requests) <= 5  # a list, a look at each, and one more at what is none
    bucket.requests.clear()
    experiment = open_experiment(storage, "one")
    assert experiment.read_all_done([f"t{trial}" for trial in range(1000)]) == {}
    assert len(bucket.requests) <= 2 + 2 * 30
    assert not [path for _, path in bucket.requests if "t30" in path]  # what is not there is not asked for


def test_space_is_not_checked_where_there_is_no_limit(storage: Storage, smoke_folder: Path) -> None:
    manifest = open_experiment(open_storage(smoke_folder / "experiments"), "smoke").read_manifest()
    assert manifest
    assert "not limited by an object store, at most about" in check_space(storage, manifest, manifest.trials)


def test_probes_of_killed_drivers_go_after_an_hour(
    bucket: Bucket, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("team/sweeps/.tmp-probe-0a", b"x")
    assert storage.list() == []
    assert storage.files() == set()
    storage.remove_abandoned()
    assert bucket.file_keys() == ["team/sweeps/.tmp-probe-0a"]

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(hours=2)

    monkeypatch.setattr(s3, "datetime", Later)
    storage.remove_abandoned()
    assert bucket.file_keys() == []


def test_damaged_checkpoint_is_set_aside_and_the_older_one_used(storage: Storage) -> None:
    experiment = Experiment(storage)
    for epoch in (1, 2, 3):
        experiment.write_checkpoint("a", epoch, b"content %d" % epoch)
    names = storage.list("trials/a")
    assert [name[:17] for name in names] == ["checkpoint-000002", "checkpoint-000003"]
    storage.write(f"trials/a/{names[1]}", b"content")
    found = experiment.read_checkpoint("a")
    assert found
    assert (found.epoch, found.content) == (2, b"content 2")
    assert storage.list("trials/a") == [names[0], f"{names[1]}.corrupt"]
    assert [event["event"] for event in experiment.read_events()] == ["checkpoint_corrupt"]
    experiment.write_error("a", "first")
    experiment.write_error("a", "second")
    assert experiment.read_errors(["b", "a"]) == {"a": "first"}


# ---- the lock


def never() -> None:
    raise AssertionError("the lock was lost")


def leave_lock(storage: Storage, **changes: Any) -> None:
    """The lock of a driver on another host, which has just been heard of."""
    holder = {"host": "elsewhere", "pid": 1, "process_started": 0.0, "heartbeat": time.time(), "token": "another"}
    storage.write("lock.json", json.dumps(holder | changes).encode())


def test_lock_is_held_within_and_gone_after(bucket: Bucket, storage: Storage) -> None:
    with Lock(storage, on_lost=never):
        assert read_holder(storage)
        with pytest.raises(ExperimentError, match=r"is in use by process \d+ on .*wait for it or stop it$"):
            Lock(storage, on_lost=never).__enter__()
    assert bucket.file_keys() == []


def test_lock_of_another_host_is_taken_over_when_its_heart_has_stopped(
    bucket: Bucket, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.1)
    leave_lock(storage)
    with pytest.raises(ExperimentError, match=r"in use by process 1 on elsewhere .* try again in (59|60) s"):
        Lock(storage, on_lost=never).__enter__()
    leave_lock(storage, heartbeat=time.time() - STALE_AFTER_S - 1)
    with Lock(storage, on_lost=never):
        holder = read_holder(storage)
        assert holder
        assert holder["host"] == socket.gethostname()
    assert bucket.file_keys() == []


def test_of_contenders_for_a_dead_lock_one_is_left_after_a_heartbeat(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.3)
    leave_lock(storage, heartbeat=0)
    start, end = threading.Barrier(3), threading.Event()
    holding, lost, refused = [], [], []

    def contend(number: int) -> None:
        start.wait()
        try:
            with Lock(storage, on_lost=lambda: lost.append(number)):
                holding.append(number)
                end.wait()
        except ExperimentError:
            refused.append(number)

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(refused) + len(lost) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    assert len(refused) + len(lost) == 2
    assert len(holding) - len(lost) == 1
    end.set()
    for thread in threads:
        thread.join()
    assert storage.list() == []


def test_heart_beats_through_faults_and_notices_a_takeover(
    bucket: Bucket, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.05)
    bucket.faults.append(Fault("InternalError", times=10, every=4))
    lost = threading.Event()
    with Lock(storage, on_lost=lost.set):
        before = read_holder(storage)
        assert before
        while (now := read_holder(storage)) is None or now["heartbeat"] == before["heartbeat"]:
            time.sleep(0.01)
        while not lost.is_set():
            leave_lock(storage)
            lost.wait(0.2)
    holder = read_holder(storage)
    assert holder
    assert holder["token"] == "another"
