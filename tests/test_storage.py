"""Files are whole, and errors say what to do."""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from elsewhere import NAMESPACE, needs_namespaces, running

from sweep.errors import StorageError
from sweep.machine import this_process
from sweep.storage import LocalStorage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "a folder" / "ünder it")


def abandoned(storage: LocalStorage, process: str) -> Path:
    """A temporary file as its writer leaves it when it is killed."""
    file = storage.root / "trials" / f".tmp-00000000-{process}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"half of")
    return file


def test_file_is_read_as_written_and_replaced_whole(storage: LocalStorage) -> None:
    storage.write("trials/one/file", b"first")
    storage.write("trials/one/file", b"second")
    assert storage.read("trials/one/file") == b"second"
    assert storage.list("trials/one") == ["file"]
    assert os.listdir(storage.root / "trials/one") == ["file"]


@pytest.mark.parametrize(("umask", "folders", "files"), [(0o002, 0o2775, 0o664), (0o077, 0o2700, 0o600)])
def test_folders_and_files_follow_the_umask_and_the_folder_above(
    tmp_path: Path, umask: int, folders: int, files: int
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2777)
    before = os.umask(umask)
    try:
        storage = LocalStorage(shared / "sweeps")
        storage.write("trials/one/file", b"")
        storage.create("lock.json", b"")
        storage.append("events.jsonl", "{}")
    finally:
        os.umask(before)
    modes = {path.is_dir(): set() for path in shared.rglob("*")}
    for path in shared.rglob("*"):
        modes[path.is_dir()].add(stat.S_IMODE(path.stat().st_mode))
    assert modes == {True: {folders}, False: {files}}


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


EXPLAINED = sorted(set(errno.errorcode) - {errno.EEXIST, errno.EINTR})


@pytest.mark.parametrize("number", EXPLAINED, ids=[errno.errorcode[number] for number in EXPLAINED])
def test_every_error_of_a_file_system_is_one_of_the_storage(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    storage.write("file", b"old")

    def refuse(*given: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    def fails(work: Callable[[], object]) -> None:
        with pytest.raises(StorageError) as error:
            work()
        assert "\n" not in str(error.value)
        assert "; " in str(error.value)  # what is wrong; what to do about it

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        fails(lambda: storage.write("file", b"new"))
        if number != errno.ENOENT:
            fails(lambda: storage.rename("file", "other"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuse)
        patch.setattr(os, "scandir", refuse)
        if number != errno.ENOENT:
            fails(storage.list)
            fails(storage.files)
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", refuse)
        fails(storage.free_gb)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        if number != errno.ENOENT:
            fails(lambda: storage.read("file"))
            fails(lambda: list(storage.read_each(["file"])))
    assert storage.files() == {"file"}
    assert storage.read("file") == b"old"


def test_a_folder_in_the_place_of_a_file_is_explained_and_no_file_is_not_an_error(storage: LocalStorage) -> None:
    storage.write("folder/file", b"")
    with pytest.raises(StorageError, match="a folder is where a file should be"):
        storage.read("folder")
    with pytest.raises(FileNotFoundError):
        storage.read("nothing")


def test_a_folder_that_has_gone_is_not_made_again(storage: LocalStorage) -> None:
    storage.write("trials/one/file", b"")
    storage.root.rename(storage.root.with_name("moved"))  # as a mount that is lost
    for work in (
        lambda: storage.write("trials/two/file", b""),
        lambda: storage.create("lock.json", b""),
        lambda: storage.append("events.jsonl", "{}"),
    ):
        with pytest.raises(StorageError, match="mount it again, then run the same command again"):
            work()
    assert not storage.root.exists()
    reader = LocalStorage(storage.root.with_name("moved"))
    assert reader.exists("trials/one/file")
    reader.root.rename(storage.root)
    with pytest.raises(StorageError, match="mount it again"):
        reader.write("file", b"")


@pytest.mark.parametrize(
    "root", ["x" * 300, "loop", "dangling", "/dev/null", "/dev/null/below", "\udce9" * 300, "x/" * 3000]
)
def test_a_root_that_cannot_be_one_is_said_in_one_line(tmp_path: Path, root: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing/below")
    storage = LocalStorage(tmp_path / root)
    for work in (storage.check_writable, lambda: storage.write("file", b"")):
        with pytest.raises(StorageError) as error:
            work()
        assert "\n" not in str(error.value)
    if root != "dangling":
        with pytest.raises(StorageError):
            storage.list()


@pytest.mark.parametrize("root", ["", "a\0b", "s3://bucket/\0"])
def test_a_root_that_names_nothing_is_refused(root: str) -> None:
    with pytest.raises(StorageError, match="is no storage; give a folder or s3://bucket/prefix"):
        open_storage(root)


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    root = os.fsdecode(os.fsencode(tmp_path) + b"/exp\xe9")
    LocalStorage(root).write("file", b"content")
    assert LocalStorage(root).read("file") == b"content"
    assert os.listdir(os.fsencode(tmp_path)) == [b"exp\xe9"]


def test_path_through_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        LocalStorage(tmp_path / "file" / "experiment").write("x", b"")


def test_of_many_creators_of_a_file_one_wins(storage: LocalStorage) -> None:
    assert [storage.create("file", content) for content in (b"1", b"2", b"3")] == [True, False, False]
    assert storage.read("file") == b"1"
    assert os.listdir(storage.root) == ["file"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_without_hard_links_still_one_of_many_creators_wins(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*names: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    won, start = [], threading.Barrier(8)

    def create(content: bytes) -> None:
        start.wait()
        if storage.create("file", content):
            won.append(content)

    threads = [threading.Thread(target=create, args=(bytes([number]) * 1000,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [storage.read("file")] == won
    assert os.listdir(storage.root) == ["file"]


def test_a_file_system_that_cannot_flush_a_folder_will_do(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    storage.write("folder/file", b"content")
    assert storage.read("folder/file") == b"content"


def test_line_after_a_torn_line_starts_anew(storage: LocalStorage) -> None:
    storage.write("events", b'{"whole": 1}\n{"tor')
    storage.append("events", "{}")
    storage.append("events", '{"é": 2}')
    assert storage.read("events").decode() == '{"whole": 1}\n{"tor\n{}\n{"é": 2}\n'


def test_temporary_files_go_when_their_writer_is_dead_and_stay_while_it_lives(storage: LocalStorage) -> None:
    with running() as (_, name):
        of_dead = abandoned(storage, name)
    of_living = abandoned(storage, this_process())
    of_another_container = abandoned(storage, "1-1@elsewhere")
    of_0_1_0 = storage.root / "trials" / f".tmp-{os.getpid()}-00000000@host"
    of_0_1_0.write_bytes(b"half of")
    files = [of_dead, of_living, of_another_container, of_0_1_0]
    assert storage.list("trials") == []
    storage.remove_abandoned()
    assert [file.exists() for file in files] == [False, True, True, True]
    for file in files[1:]:
        os.utime(file, (time.time() - 4000,) * 2)
    storage.remove_abandoned()
    assert [file.exists() for file in files] == [False, True, False, False]


@needs_namespaces
def test_what_a_writer_in_another_container_has_not_finished_stays(storage: LocalStorage) -> None:
    with running(*NAMESPACE) as (_, name):
        file = abandoned(storage, name)
        storage.remove_abandoned()
        assert file.exists()


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
