"""Whole files, written atomically: the only place that touches the storage path.

Every file is written to a temporary name in its own folder, flushed to the disk, renamed, and the folder is
flushed: a reader sees the old file or the new one, and after a power cut the same. Imports neither torch nor ray.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweep.errors import StorageError

# Faults of the storage itself: retrying a trial cannot help, and the user can do something about each.
_REMEDIES = {
    errno.ENOSPC: "no space is left; free some, then run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space, then run the same command again",
    errno.EACCES: "permission denied; make it writable or choose another place with --storage",
    errno.EPERM: "the operation is not permitted; make it writable or choose another place with --storage",
    errno.EROFS: "the file system is read-only; choose another place with --storage",
    errno.ENOTDIR: "a part of the path is a file; choose another place with --storage",
}

_TEMPORARY = ".tmp-"


class Storage:
    """A folder whose files are read and written whole.

    Paths given to its methods are relative to `root`, with forward slashes.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    def __str__(self) -> str:
        return str(self.root)

    def folder(self, path: str) -> "Storage":
        """Gives the storage of a folder below this one."""
        return Storage(self.root / path)

    def read(self, path: str) -> bytes:
        """Gives a file's content.

        Raises:
            FileNotFoundError: if there is none.
            StorageError: if the storage refuses.
        """
        with _explained(self.root / path):
            return (self.root / path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole and atomically; its folder is made, for its owner only.

        Raises:
            StorageError: for no space, no permission or a read-only file system; an older file stays intact.
        """
        target = self.root / path
        with _explained(target):
            _make_folders(target.parent)
            temporary = target.parent / f"{_TEMPORARY}{target.name}-{secrets.token_hex(4)}"
            try:
                with open(temporary, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
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
            temporary = target.parent / f"{_TEMPORARY}{target.name}-{secrets.token_hex(4)}"
            try:
                temporary.write_bytes(content)
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def append(self, path: str, line: str) -> None:
        """Adds a line to a file that is for people to read; not atomic, so never for the truth."""
        with _explained(self.root / path), open(self.root / path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

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
        return sorted(name for name in names if not name.startswith(_TEMPORARY))

    def remove_temporary(self, path: str = "") -> None:
        """Removes what a killed writer left half-written in a folder; only for its single owner to call."""
        with _explained(self.root / path):
            for file in (self.root / path).glob(f"{_TEMPORARY}*"):
                file.unlink(missing_ok=True)

    def free_gb(self) -> float:
        """Free space in GB (10^9 bytes) on the disk that holds, or will hold, the root."""
        existing = self.root
        while not existing.exists():
            existing = existing.parent
        status = os.statvfs(existing)
        return status.f_bavail * status.f_frsize / 1e9


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


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise StorageError(f"cannot use {path}: {_REMEDIES[error.errno]}") from error
