"""One driver at a time, and who may take a lock over."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from elsewhere import NAMESPACE, needs_namespaces, running

from sweep import lock as locks
from sweep.errors import ExperimentError
from sweep.lock import STALE_AFTER_S, Lock, read_holder
from sweep.machine import this_process
from sweep.storage import LocalStorage, Storage


def never() -> None:
    raise AssertionError("the lock was lost")


def write_lock(storage: Storage, **changes: Any) -> None:
    """Leaves the lock of another driver, which is this process unless changed."""
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process": this_process(),
        "heartbeat": time.time(),
        "token": "another",
    }
    storage.write("lock.json", json.dumps(holder | changes).encode())


DEAD = this_process().replace("-", "-1")  # the PID is of a living process, the start is of none
UNKNOWN = "1-1@elsewhere"
# As version 0.1.0 wrote it, which said where and when it ran in a way that cannot be relied on.
OF_0_1_0 = {"process": None, "process_started": 0.0}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path / "experiment")


def test_lock_is_held_within_and_gone_after(storage: Storage) -> None:
    with Lock(storage, on_lost=never):
        holder = read_holder(storage)
        assert holder
        assert (holder["host"], holder["pid"]) == (socket.gethostname(), os.getpid())
    assert storage.list() == []


def test_second_driver_is_refused_with_host_and_pid_of_the_first(storage: Storage) -> None:
    refused = rf"in use by process {os.getpid()} on {socket.gethostname()} .*wait for it or stop it$"
    with Lock(storage, on_lost=never), pytest.raises(ExperimentError, match=refused):
        Lock(storage, on_lost=never).__enter__()
    assert storage.list() == []


def test_lock_of_a_killed_driver_on_this_machine_is_taken_over_at_once(storage: Storage) -> None:
    with running() as (killed, name):
        write_lock(storage, pid=killed.pid, process=name)
        with pytest.raises(ExperimentError):
            Lock(storage, on_lost=never).__enter__()
        killed.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        with Lock(storage, on_lost=never):  # though nobody has asked yet how it ended
            pass
    write_lock(storage, pid=killed.pid, process=name)
    with Lock(storage, on_lost=never):
        pass


def test_a_known_process_decides_whatever_the_clocks_say(storage: Storage) -> None:
    write_lock(storage, heartbeat=time.time() - 1e6)
    with pytest.raises(ExperimentError):
        Lock(storage, on_lost=never).__enter__()
    write_lock(storage, process=DEAD, heartbeat=time.time() + 1e6)
    with Lock(storage, on_lost=never):
        pass


@pytest.mark.parametrize("driver", [{"host": "elsewhere", "process": UNKNOWN}, {"process": UNKNOWN}, OF_0_1_0])
def test_where_the_process_cannot_be_known_a_young_heartbeat_keeps_the_lock(
    storage: Storage, driver: dict[str, Any]
) -> None:
    write_lock(storage, pid=1, heartbeat=time.time() - STALE_AFTER_S + 20, **driver)
    with pytest.raises(ExperimentError, match=r"process 1 on .* if it is gone, try again in (19|20) s"):
        Lock(storage, on_lost=never).__enter__()


@pytest.mark.parametrize("driver", [{"process": UNKNOWN}, OF_0_1_0])
@pytest.mark.parametrize("clock", [-STALE_AFTER_S - 1, STALE_AFTER_S + 5, 1e6])
def test_a_lock_of_another_time_is_watched_and_taken_over_only_if_nothing_changes(
    storage: Storage, driver: dict[str, Any], clock: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.1)
    now = time.time() + clock
    stopped = threading.Event()

    def beat() -> None:
        for beats in range(1000):
            write_lock(storage, heartbeat=now + beats / 1000, **driver)
            if stopped.wait(0.05):
                return

    write_lock(storage, heartbeat=now, **driver)
    heart = threading.Thread(target=beat)
    heart.start()
    said: list[str] = []
    with pytest.raises(ExperimentError, match="is in use"):
        Lock(storage, on_lost=never, say=said.append).__enter__()
    assert len(said) == 1
    stopped.set()
    heart.join()
    with Lock(storage, on_lost=never):
        pass
    assert storage.list() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": "elsewhere"}', b'{"token": [], "heartbeat": "x"}'])
def test_damaged_lock_is_taken_over_unless_it_is_just_being_written(
    storage: Storage, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.1)
    storage.write("lock.json", content)
    written = threading.Timer(0.15, write_lock, (storage,))
    written.start()
    with pytest.raises(ExperimentError, match=f"process {os.getpid()} "):
        Lock(storage, on_lost=never).__enter__()
    storage.write("lock.json", content)
    with Lock(storage, on_lost=never):
        holder = read_holder(storage)
        assert holder
        assert holder["pid"] == os.getpid()
    assert storage.list() == []


_HOLD = """
import sys
from sweep.lock import Lock
from sweep.storage import LocalStorage
with Lock(LocalStorage(sys.argv[1]), on_lost=print):
    print("held", flush=True)
    sys.stdin.read()
"""


@needs_namespaces
def test_a_live_lock_of_another_container_is_not_taken_over(storage: Storage) -> None:
    holder = subprocess.Popen(
        [*NAMESPACE, sys.executable, "-c", _HOLD, str(storage)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ExperimentError, match=f"process 1 on {socket.gethostname()} .* if it is gone"):
        Lock(storage, on_lost=never).__enter__()
    inside = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", _HOLD, str(storage)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "is in use by process 1" in inside.stderr
    holder.stdin.close()
    assert holder.wait() == 0
    holder.stdout.close()
    with Lock(storage, on_lost=never):
        pass


def test_of_two_contenders_for_a_dead_lock_one_wins(storage: Storage) -> None:
    won, refused = [], []
    for _ in range(20):
        write_lock(storage, process=DEAD)
        start, end = threading.Barrier(2), threading.Barrier(2)

        def contend(start: threading.Barrier = start, end: threading.Barrier = end) -> None:
            start.wait()
            try:
                with Lock(storage, on_lost=lambda: None):
                    won.append(1)
                    end.wait()
            except ExperimentError:
                refused.append(1)
                end.wait()

        threads = [threading.Thread(target=contend) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert storage.list() == []
    assert (len(won), len(refused)) == (20, 20)


def test_heart_beats_and_notices_a_takeover(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.01)
    lost = threading.Event()
    with Lock(storage, on_lost=lost.set):
        before = read_holder(storage)
        assert before
        while (now := read_holder(storage)) is None or now["heartbeat"] == before["heartbeat"]:
            time.sleep(0.01)
        while not lost.is_set():  # a beat may fall between the reading and the writing of one
            write_lock(storage)
            lost.wait(0.05)
    holder = read_holder(storage)
    assert holder
    assert holder["token"] == "another"
