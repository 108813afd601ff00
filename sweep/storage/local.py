"""A folder as a storage.

Every file is written to a temporary name in its own folder, flushed to the disk, renamed, and the folder is
flushed: a reader sees the old file or the new one, and after a power cut the same.
"""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sweep.errors import StorageError, reason
from sweep.processes import lives, this_process
from sweep.storage.base import TEMPORARY, Storage

_ELSEWHERE = "choose another place with --storage"
_AGAIN = "then run the same command again"
# Whatever a file system refuses is a fault of the storage: retrying a trial cannot help. What a user can do about each.
_REMEDIES = {
    errno.ENOSPC: f"no space is left; free some, {_AGAIN}",
    errno.EDQUOT: f"the disk quota is used up; free some space, {_AGAIN}",
    errno.EACCES: f"permission denied; make it writable or {_ELSEWHERE}",
    errno.EPERM: f"the operation is not permitted; make it writable or {_ELSEWHERE}",
    errno.EROFS: f"the file system is read-only; {_ELSEWHERE}",
    errno.ENOTDIR: f"a part of the path is a file; {_ELSEWHERE}",
    errno.EEXIST: f"a file, or a link to nothing, is where a folder should be; {_ELSEWHERE}",
    errno.EISDIR: f"a folder is where a file should be; move it away or {_ELSEWHERE}",
    errno.ENAMETOOLONG: f"the path is too long; {_ELSEWHERE}",
    errno.ELOOP: f"its symbolic links lead in a circle; {_ELSEWHERE}",
    errno.ENOENT: f"its folder is not there, or not any more; if it is mounted, mount it again, {_AGAIN}",
    errno.EMFILE: f"too many files are open; raise the limit with ulimit -n, {_AGAIN}",
}

# What file systems say that flush the names in a folder by themselves, or never.
_FOLDERS_CANNOT_BE_FLUSHED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
# No writer that cannot be seen from here takes this long over one file; the clocks of hosts may differ by less.
_ABANDONED_AFTER_S = 3600.0


class LocalStorage(Storage):
    """A folder whose files are read and written whole."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        with _explained(Path(root)):
            self.root = Path(root).absolute()
        self._seen = False  # whether the root was there, and must stay

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
        with _explained(self.root / path, FileNotFoundError):
            content = (self.root / path).read_bytes()
        self._seen = True
        return content

    def read_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """Gives the content of each file in order, None where there is none."""
        for path in paths:
            try:
                yield self.read(path)
            except FileNotFoundError:
                yield None

    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole and atomically; folders that are missing are made.

        Raises:
            StorageError: for no space, no permission or whatever else; an older file stays intact.
        """
        target = self.root / path
        with _explained(target):
            self._make_folder(target.parent)
            temporary = _temporary(target)
            try:
                _write_flushed(temporary, content)
                os.replace(temporary, target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _flush_folder(target.parent)

    def create(self, path: str, content: bytes) -> bool:
        """Writes a file only if there is none; False if there is one. Atomic on file systems without `flock` too.

        On one without hard links a reader may see half of it for a moment.
        """
        target = self.root / path
        with _explained(target):
            self._make_folder(target.parent)
            temporary = _temporary(target)
            try:
                _write_flushed(temporary, content)
                created = _link(temporary, target, content)
            finally:
                temporary.unlink(missing_ok=True)
            _flush_folder(target.parent)
        return created

    def append(self, path: str, line: str) -> None:
        """Adds a line to a file that is for people to read; not atomic, so never for the truth."""
        with _explained(self.root / path), open(self.root / path, "ab+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            torn = file.read(1) not in (b"", b"\n")  # a writer was killed within its line
            file.write((b"\n" if torn else b"") + line.encode() + b"\n")

    def flush(self) -> None:
        """Nothing is held back: a line is added at once."""

    def rename(self, path: str, new_path: str) -> None:
        """Gives a file a new name in the same storage."""
        with _explained(self.root / path, FileNotFoundError):
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
            except FileNotFoundError:
                return []
        return sorted(name for name in names if not name.startswith(TEMPORARY))

    def files(self, path: str = "") -> set[str]:
        """Gives the paths of all files in a folder and below, without temporary ones."""
        with _explained(self.root / path):
            return {
                (Path(folder) / name).relative_to(self.root).as_posix()
                for folder, _, names in os.walk(self.root / path, onerror=_fail)
                for name in names
                if not name.startswith(TEMPORARY)
            }

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        with _explained(self.root / path):
            found = (self.root / path).is_file()
        self._seen |= found
        return found

    @property
    def keeps_checksums(self) -> bool:
        """A disk may give back something else, and a file may be edited."""
        return False

    def remove_abandoned(self) -> None:
        """Removes, in this folder and below, what killed writers left half-written.

        Writers that live are not disturbed: a file goes when its process is gone, or after an hour if that cannot be
        known from here.
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
        probe, content = f"{TEMPORARY}probe-{secrets.token_hex(4)}", secrets.token_bytes(16)
        with self.no_empty_folders():
            self.write(probe, content)
            (found,) = self.read_each([probe])
            self.delete(probe)
        if found != content:
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
            self._seen &= os.path.exists(self.root)

    def free_gb(self) -> float:
        """Free space in GB (10^9 bytes) on the disk that holds, or will hold, the root."""
        with _explained(self.root):
            status = os.statvfs(self._existing())
        return status.f_bavail * status.f_frsize / 1e9

    def _existing(self) -> Path:
        with _explained(self.root):
            return next(folder for folder in (self.root, *self.root.parents) if folder.exists())

    def _make_folder(self, folder: Path) -> None:
        """Makes a folder with those above it, but not the root again that was there: its file system has been lost."""
        seen, missing = self._seen, []  # before another thread of this process makes it
        while not folder.exists():
            if folder == self.root and seen:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            new.mkdir(exist_ok=True)
            _flush_folder(new.parent)
        self._seen = True


def _temporary(target: Path) -> Path:
    """A name beside `target` that says who writes it; the target's own name could make it too long."""
    return target.parent / f"{TEMPORARY}{secrets.token_hex(4)}-{this_process()}"


def _is_abandoned(temporary: Path) -> bool:
    alive = lives(temporary.name.removeprefix(TEMPORARY).partition("-")[2])
    return time.time() - temporary.stat().st_mtime > _ABANDONED_AFTER_S if alive is None else not alive


def _write_flushed(file: Path, content: bytes) -> None:
    with open(file, "xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _link(temporary: Path, target: Path, content: bytes) -> bool:
    """Gives a written file its name, unless there is one of that name."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:  # on a file system without hard links, which has no other way to do both at once
        try:
            _write_flushed(target, content)
        except FileExistsError:
            return False
    return True


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _FOLDERS_CANNOT_BE_FLUSHED:
            raise
    finally:
        os.close(descriptor)


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextlib.contextmanager
def _explained(path: Path, *expected: type[OSError]) -> Iterator[None]:
    try:
        yield
    except expected:
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0) or f"{reason(error)}; see to the disk or its network, {_AGAIN}"
        raise StorageError(f"cannot use {path}: {remedy}") from error
