"""A folder as a storage.

Every file is written to a temporary name in its own folder, flushed to the disk, renamed, and the folder is
flushed: a reader sees the old file or the new one, and after a power cut the same.
"""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from sweep.errors import StorageError, reason
from sweep.machine import lives, this_process
from sweep.storage.base import ABANDONED_AFTER_S, TEMPORARY, Storage

Answer = TypeVar("Answer")

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


class LocalStorage(Storage):
    """A folder whose files are read and written whole."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        with _explained(Path(root)):
            self.root = Path(root).absolute()
        super().__init__(str(self.root))
        self._seen = False  # whether the root was there, and must stay

    def folder(self, path: str) -> "LocalStorage":
        """Its folder, too, must stay once it was there."""
        return LocalStorage(self.root / path)

    def read(self, path: str) -> bytes:
        """Gives a file's content."""
        with _explained(self.root / path, FileNotFoundError):
            content = (self.root / path).read_bytes()
        self._seen = True
        return content

    def read_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """One after the other: a disk answers sooner than it could be listed."""
        return map(self._read_or_none, paths)

    def write(self, path: str, content: bytes) -> None:
        """Writes a file under a temporary name, then renames it."""
        self._place(path, content, os.replace)

    def create(self, path: str, content: bytes) -> bool:
        """Writes a file only if there is none, on file systems without `flock` too.

        On one without hard links a reader may see half of it for a moment.
        """
        return self._place(path, content, partial(_link, content))

    def append(self, path: str, line: str) -> None:
        """Adds a line at once; not atomic."""
        with _explained(self.root / path), open(self.root / path, "ab+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            torn = file.read(1) not in (b"", b"\n")  # a writer was killed within its line
            file.write((b"\n" if torn else b"") + line.encode() + b"\n")

    def rename(self, path: str, new_path: str) -> None:
        """Gives a file a new name at once: of several that try one succeeds."""
        with _explained(self.root / path, FileNotFoundError):
            os.replace(self.root / path, self.root / new_path)

    def delete(self, path: str) -> None:
        """Removes a file."""
        with _explained(self.root / path):
            (self.root / path).unlink(missing_ok=True)

    def entries(self, path: str) -> Iterable[str]:
        """Gives the names in a folder; a link counts as a file, whatever it leads to."""
        with _explained(self.root / path):
            try:
                with os.scandir(self.root / path) as found:
                    return [f"{one.name}/" if one.is_dir(follow_symlinks=False) else one.name for one in found]
            except FileNotFoundError:
                return []

    def exists(self, path: str) -> bool:
        """Looks at the file alone: its folder may be large, or not to be listed."""
        with _explained(self.root / path):
            found = (self.root / path).is_file()
        self._seen |= found
        return found

    def remove_abandoned(self) -> None:
        """Removes a half-written file when its process is gone, or after an hour if that cannot be known from here."""
        with _explained(self.root):
            for file in self.root.rglob(f"{TEMPORARY}*"):
                with contextlib.suppress(FileNotFoundError):
                    if _is_abandoned(file):
                        file.unlink()

    @contextlib.contextmanager
    def no_empty_folders(self) -> Iterator[None]:
        """Takes away, at the end, the folders made within, if nothing has come into them."""
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

    def _place(self, path: str, content: bytes, put: Callable[[Path, Path], Answer]) -> Answer:
        """Writes a file beside its place, flushed, and has it put there; of what fails nothing stays."""
        target = self.root / path
        # Says who writes it; the target's own name could make it too long.
        temporary = target.parent / f"{TEMPORARY}{secrets.token_hex(4)}-{this_process()}"
        with _explained(target):
            self._make_folder(target.parent)
            try:
                _write_flushed(temporary, content)
                answer = put(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
            _flush_folder(target.parent)
        return answer

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


def _is_abandoned(temporary: Path) -> bool:
    alive = lives(temporary.name.removeprefix(TEMPORARY).partition("-")[2])
    return time.time() - temporary.stat().st_mtime > ABANDONED_AFTER_S if alive is None else not alive


def _write_flushed(file: Path, content: bytes) -> None:
    with open(file, "xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _link(content: bytes, temporary: Path, target: Path) -> bool:
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


@contextlib.contextmanager
def _explained(path: Path, *expected: type[OSError]) -> Iterator[None]:
    try:
        yield
    except expected:
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0) or f"{reason(error)}; see to the disk or its network, {_AGAIN}"
        raise StorageError(f"cannot use {path}: {remedy}") from error
