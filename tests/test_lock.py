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

import psutil
import pytest

from sweep import lock as locks
from sweep.errors import ExperimentError
from sweep.lock import STALE_AFTER_S, Lock, read_holder
from sweep.storage import LocalStorage, Storage


def never() -> None:
    raise AssertionError("the lock was lost")


def write_lock(storage: Storage, **changes: Any) -> None:
    """Leaves the lock of another driver, which lives on this host unless changed."""
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": psutil.Process().create_time(),
        "heartbeat": time.time(),
        "token": "another",
    }
    storage.write("lock.json", json.dumps(holder | changes).encode())


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


def test_lock_of_a_killed_driver_on_this_host_is_taken_over_at_once(storage: Storage) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_lock(storage, pid=killed.pid, process_started=psutil.Process(killed.pid).create_time())
    with pytest.raises(ExperimentError):
        Lock(storage, on_lost=never).__enter__()
    killed.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(killed.pid).status() == psutil.STATUS_ZOMBIE
    with Lock(storage, on_lost=never):  # though nobody has asked yet how it ended
        pass
    killed.communicate()
    write_lock(storage, pid=killed.pid)
    with Lock(storage, on_lost=never):
        pass


def test_lock_whose_pid_was_given_to_another_process_is_taken_over(storage: Storage) -> None:
    write_lock(storage, process_started=psutil.Process().create_time() - 1000)
    with Lock(storage, on_lost=never):
        pass


def test_lock_of_another_host_is_taken_over_only_when_its_heartbeat_is_old(storage: Storage) -> None:
    write_lock(storage, host="elsewhere", pid=1, heartbeat=time.time() - STALE_AFTER_S + 20)
    with pytest.raises(
        ExperimentError, match=r"process 1 on elsewhere .* if that host is gone, try again in (19|20) s"
    ):
        Lock(storage, on_lost=never).__enter__()
    write_lock(storage, host="elsewhere", pid=1, heartbeat=time.time() - STALE_AFTER_S - 1)
    with Lock(storage, on_lost=never):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": "elsewhere"}'])
def test_damaged_lock_is_taken_over(storage: Storage, content: bytes) -> None:
    storage.write("lock.json", content)
    with Lock(storage, on_lost=never):
        holder = read_holder(storage)
        assert holder
        assert holder["pid"] == os.getpid()
    assert storage.list() == []


def test_of_two_contenders_for_a_dead_lock_one_wins(storage: Storage) -> None:
    won, refused = [], []
    for _ in range(20):
        write_lock(storage, process_started=0)
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
