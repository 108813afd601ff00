"""A folder as a storage.

Every file is written to a temporary name in its own folder, flushed to the disk, renamed, and the folder is
flushed: a reader sees the old file or the new one, and after a power cut the same.
"""

import contextlib
import errno
import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from sweep.errors import StorageError
from sweep.storage.base import TEMPORARY, Storage

# Faults of the storage itself: retrying a trial cannot help, and the user can do something about each.
_REMEDIES = {
    errno.ENOSPC: "no space is left; free some, then run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space, then run the same command again",
    errno.EACCES: "permission denied; make it writable or choose another place with --storage",
    errno.EPERM: "the operation is not permitted; make it writable or choose another place with --storage",
    errno.EROFS: "the file system is read-only; choose another place with --storage",
    errno.ENOTDIR: "a part of the path is a file; choose another place with --storage",
}

# No writer takes this long over one file; the clocks of hosts may differ by less.
_ABANDONED_AFTER_S = 3600.0
_PROBE = f"{TEMPORARY}probe"


class LocalStorage(Storage):
    """A folder whose files are read and written whole."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    def __str__(self) -> str:
        return str(self.root)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.root.name

    def folder(self, path: str) -> "LocalStorage":
        """Gives the storage of a folder below this one."""
        return LocalStorage(self.root / path)

    def read(self, path: str) -> bytes:
        """Gives a file's content.

        Raises:
            FileNotFoundError: if there is none.
            StorageError: if the storage refuses.
        """
        with _explained(self.root / path):
            return (self.root / path).read_bytes()

    def read_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """Gives the content of each file in order, None where there is none."""
        for path in paths:
            try:
                yield self.read(path)
            except FileNotFoundError:
                yield None

    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole and atomically; its folder is made, for its owner only.

        Raises:
            StorageError: for no space, no permission or a read-only file system; an older file stays intact.
        """
        target = self.root / path
        with _explained(target):
            _make_folders(target.parent)
            temporary = _temporary(target)
            try:
                _write_flushed(temporary, content)
                os.replace(temporary, target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _flush_folder(target.parent)

    def create(self, path: str, content: bytes) -> bool:
        """Writes a file only if there is none; False if there is one. Atomic on file systems without `flock` too."""
        target = self.root / path
        with _explained(target):
            _make_folders(target.parent)
            temporary = _temporary(target)
            try:
                _write_flushed(temporary, content)
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
            _flush_folder(target.parent)
        return True

    def append(self, path: str, line: str) -> None:
        """Adds a line to a file that is for people to read; not atomic, so never for the truth."""
        with _explained(self.root / path), open(self.root / path, "ab+", opener=_for_owner) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            torn = file.read(1) not in (b"", b"\n")  # a writer was killed within its line
            file.write((b"\n" if torn else b"") + line.encode() + b"\n")

    def flush(self) -> None:
        """Nothing is held back: a line is added at once."""

    def rename(self, path: str, new_path: str) -> None:
        """Gives a file a new name in the same storage."""
        with _explained(self.root / path):
            os.replace(self.root / path, self.root / new_path)

    def delete(self, path: str) -> None:
        """Removes a file; one that is not there is no error."""
        with _explained(self.root / path):
            (self.root / path).unlink(missing_ok=True)

    def list(self, path: str = "") -> list[str]:
        """Gives the sorted names in a folder, without temporary files; none if there is no such folder."""
        with _explained(self.root / path):
            try:
                names = os.listdir(self.root / path)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(name for name in names if not name.startswith(TEMPORARY))

    def files(self, path: str = "") -> set[str]:
        """Gives the paths of all files in a folder and below, without temporary ones."""
        with _explained(self.root / path):
            return {
                (Path(folder) / name).relative_to(self.root).as_posix()
                for folder, _, names in os.walk(self.root / path)
                for name in names
                if not name.startswith(TEMPORARY)
            }

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        with _explained(self.root / path):
            return (self.root / path).is_file()

    @property
    def keeps_checksums(self) -> bool:
        """A disk may give back something else, and a file may be edited."""
        return False

    def remove_abandoned(self) -> None:
        """Removes, in this folder and below, what killed writers left half-written.

        Writers that live are not disturbed: a file goes only if its process is gone from this host, or after an hour.
        """
        with _explained(self.root):
            for file in self.root.rglob(f"{TEMPORARY}*"):
                with contextlib.suppress(FileNotFoundError):
                    if _is_abandoned(file):
                        file.unlink()

    def check_writable(self) -> None:
        """Writes a file, reads it back and removes it.

        Raises:
            StorageError: if that is refused, or another content comes back.
        """
        content = secrets.token_bytes(16)
        try:
            with self.no_empty_folders():
                self.write(_PROBE, content)
                same = self.read(_PROBE) == content
                self.delete(_PROBE)
        except OSError as error:
            raise StorageError(f"cannot use {self}: {error.strerror}; choose another place with --storage") from error
        if not same:
            raise StorageError(f"{self} gives back something else than was written; choose another --storage")

    @contextlib.contextmanager
    def no_empty_folders(self) -> Iterator[None]:
        """Takes away, at the end, the folders made within for this storage, if nothing has come into them."""
        existing = self._existing()
        try:
            yield
        finally:
            folder = self.root
            while folder != existing:
                with contextlib.suppress(OSError):
                    folder.rmdir()
                folder = folder.parent

    def free_gb(self) -> float:
        """Free space in GB (10^9 bytes) on the disk that holds, or will hold, the root."""
        with _explained(self.root):
            status = os.statvfs(self._existing())
        return status.f_bavail * status.f_frsize / 1e9

    def _existing(self) -> Path:
        with _explained(self.root):
            return next(folder for folder in (self.root, *self.root.parents) if folder.exists())


def _temporary(target: Path) -> Path:
    """A name beside `target` that says who writes it; the target's own name could make it too long."""
    return target.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}@{socket.gethostname()[:64]}"


def _is_abandoned(temporary: Path) -> bool:
    age_s = time.time() - temporary.stat().st_mtime
    writer, _, host = temporary.name.removeprefix(TEMPORARY).partition("@")
    pid = writer.partition("-")[0]
    here = host == socket.gethostname()[:64] and pid.isdigit()
    return age_s > _ABANDONED_AFTER_S or (here and not psutil.pid_exists(int(pid)))


def _write_flushed(file: Path, content: bytes) -> None:
    with open(file, "xb", opener=_for_owner) as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _make_folders(folder: Path) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(mode=0o700, exist_ok=True)
        _flush_folder(new.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise StorageError(f"cannot use {path}: {_REMEDIES[error.errno]}") from error
