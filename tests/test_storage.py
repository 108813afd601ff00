"""Files are whole, private, and errors say what to do."""

import errno
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.errors import StorageError
from sweep.storage import LocalStorage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "a folder" / "ünder it")


def abandoned(storage: LocalStorage, pid: int, host: str = "") -> Path:
    """A temporary file as its writer leaves it when it is killed."""
    file = storage.root / "trials" / f".tmp-{pid}-00000000@{host or socket.gethostname()[:64]}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"half of")
    return file


def test_file_is_read_as_written_and_replaced_whole(storage: LocalStorage) -> None:
    storage.write("trials/one/file", b"first")
    storage.write("trials/one/file", b"second")
    assert storage.read("trials/one/file") == b"second"
    assert storage.list("trials/one") == ["file"]
    assert os.listdir(storage.root / "trials/one") == ["file"]


def test_folders_are_for_their_owner_only(storage: LocalStorage, tmp_path: Path) -> None:
    storage.write("trials/one/file", b"")
    folders = [folder for folder in tmp_path.rglob("*") if folder.is_dir()]
    assert len(folders) == 4
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_content_is_flushed_before_it_gets_its_name_and_the_folder_after(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("file", b"")
    calls = []
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("flush"), flush(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), rename(*names)))
    storage.write("file", b"content")
    assert calls == ["flush", "rename", "flush"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("file", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"file: no space is left; free some, then run the same command again$"):
        storage.write("file", b"new")
    assert os.listdir(storage.root) == ["file"]
    assert storage.read("file") == b"old"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EACCES, "permission denied; make it writable or choose another place with --storage"),
        (errno.EROFS, "the file system is read-only; choose another place with --storage"),
    ],
)
def test_errors_of_the_storage_are_explained_in_one_line(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def refuse(*names: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError) as error:
        storage.write("file", b"")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_other_errors_are_not_explained_away(storage: LocalStorage) -> None:
    storage.write("folder/file", b"")
    with pytest.raises(IsADirectoryError):
        storage.read("folder")
    with pytest.raises(FileNotFoundError):
        storage.read("nothing")


def test_path_through_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        LocalStorage(tmp_path / "file" / "experiment").write("x", b"")


def test_of_many_creators_of_a_file_one_wins(storage: LocalStorage) -> None:
    assert [storage.create("file", content) for content in (b"1", b"2", b"3")] == [True, False, False]
    assert storage.read("file") == b"1"
    assert os.listdir(storage.root) == ["file"]


def test_line_after_a_torn_line_starts_anew(storage: LocalStorage) -> None:
    storage.write("events", b'{"whole": 1}\n{"tor')
    storage.append("events", "{}")
    storage.append("events", '{"é": 2}')
    assert storage.read("events").decode() == '{"whole": 1}\n{"tor\n{}\n{"é": 2}\n'


def test_temporary_files_go_when_their_writer_is_dead_and_stay_while_it_lives(storage: LocalStorage) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    of_dead = abandoned(storage, dead.pid)
    of_living = abandoned(storage, os.getpid())
    elsewhere = abandoned(storage, dead.pid, host="elsewhere")
    old = abandoned(storage, dead.pid, host="elsewhere-too")
    os.utime(old, (time.time() - 4000,) * 2)
    assert storage.list("trials") == []
    storage.remove_abandoned()
    assert [file.exists() for file in (of_dead, of_living, elsewhere, old)] == [False, True, True, False]


def test_writer_that_lives_is_known_by_its_own_name(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.replace

    def meanwhile(*names: object) -> None:
        storage.remove_abandoned()
        rename(*names)

    monkeypatch.setattr(os, "replace", meanwhile)
    storage.write("file", b"content")
    assert storage.read("file") == b"content"


def test_probe_leaves_nothing_behind(storage: LocalStorage, tmp_path: Path) -> None:
    storage.check_writable()
    assert list(tmp_path.iterdir()) == []
    storage.write("file", b"")
    storage.check_writable()
    assert os.listdir(storage.root) == ["file"]


def test_probe_finds_what_cannot_be_written() -> None:
    with pytest.raises(StorageError, match="cannot use /proc/nothing"):
        LocalStorage("/proc/nothing").check_writable()


def test_free_space_is_that_of_the_disk_that_will_hold_it(storage: LocalStorage) -> None:
    assert storage.free_gb() > 0
    assert not storage.root.exists()


def test_lines_are_read_in_the_order_in_which_their_segments_were_written(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    first, second = "20250101T000000-aaaaaaaa", "20250101T000001-00000000"
    order = ["events.jsonl", *(f"events-{first}-{number:04d}.jsonl" for number in (0, 9_999, 10_000, 100_000))]
    order.append(f"events-{second}-0000.jsonl")
    for name in reversed(order):
        storage.write(name, f"{name}\n".encode())
    for name in ("events-x.jsonl", "events-.jsonl", "events.jsonl.bak", "xevents.jsonl", "eventsxjsonl"):
        storage.write(name, b"not ours\n")
    assert storage.read_lines("events.jsonl") == order
