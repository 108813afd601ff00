"""A folder as a storage.

Every file is written to a temporary name in its own folder, flushed to the disk, renamed, and the folder is
flushed: a reader sees the old file or the new one, and after a power cut the same.
"""

import contextlib
import errno
import itertools
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sweep.errors import StorageError, reason
from sweep.machine import lives, this_process
from sweep.storage.base import ABANDONED_AFTER_S, TEMPORARY, Storage

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
        """A file's content."""
        with _explained(self.root / path, FileNotFoundError):
            content = (self.root / path).read_bytes()
        self._seen = True
        return content

    def write(self, path: str, content: bytes) -> None:
        """Writes a file under a temporary name, then renames it."""
        with self._written(path, content) as (temporary, target):
            os.replace(temporary, target)

    def create(self, path: str, content: bytes) -> bool:
        """Writes a file only if there is none, on file systems without `flock` too.

        On one without hard links, which has no other way to do both at once, a reader may see half of it for a moment.
        """
        with self._written(path, content) as (temporary, target), contextlib.suppress(FileExistsError):
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise
            except OSError:
                _write_flushed(target, content)
            return True
        return False

    def entries(self, path: str) -> Iterable[str]:
        """The names in a folder; a link counts as a file, whatever it leads to."""
        place = self.root / path
        with _explained(place), contextlib.suppress(FileNotFoundError), os.scandir(place) as found:
            return [f"{one.name}/" if one.is_dir(follow_symlinks=False) else one.name for one in found]
        return []

    def delete(self, path: str) -> None:
        """Removes a file."""
        with _explained(self.root / path):
            (self.root / path).unlink(missing_ok=True)

    def exists(self, path: str) -> bool:
        """Looks at the file alone: its folder may be large, or not to be listed."""
        with _explained(self.root / path):
            found = (self.root / path).is_file()
        self._seen |= found
        return found

    def rename(self, path: str, new_path: str) -> None:
        """Gives a file a new name at once: of several that try one succeeds."""
        with _explained(self.root / path, FileNotFoundError):
            os.replace(self.root / path, self.root / new_path)

    def append(self, path: str, line: str) -> None:
        """Adds a line at once; not atomic."""
        with _explained(self.root / path), open(self.root / path, "ab+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            torn = file.read(1) not in (b"", b"\n")  # a writer was killed within its line
            file.write((b"\n" if torn else b"") + line.encode() + b"\n")

    def remove_abandoned(self) -> None:
        """Removes a half-written file when its process is gone, or after an hour if that cannot be known from here."""
        with _explained(self.root):
            for file in self.root.rglob(f"{TEMPORARY}*"):
                with contextlib.suppress(FileNotFoundError):
                    alive = lives(file.name.removeprefix(TEMPORARY).partition("-")[2])
                    old = time.time() - file.stat().st_mtime > ABANDONED_AFTER_S
                    if old if alive is None else not alive:
                        file.unlink()

    @contextlib.contextmanager
    def no_empty_folders(self) -> Iterator[None]:
        """Takes away, at the end, the folders made within, if nothing has come into them."""
        with _explained(self.root):
            new = _missing(self.root)
        try:
            yield
        finally:
            for folder in new:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            self._seen &= os.path.exists(self.root)

    def free_gb(self) -> float:
        """Free space in GB (10^9 bytes) on the disk that holds, or will hold, the root."""
        with _explained(self.root):
            existing = [self.root, *self.root.parents][len(_missing(self.root))]
            return shutil.disk_usage(existing).free / 1e9

    @contextlib.contextmanager
    def _written(self, path: str, content: bytes) -> Iterator[tuple[Path, Path]]:
        """Writes a file beside its place, flushed, for the caller to put there; of what fails nothing stays."""
        target = self.root / path
        # Says who writes it; the target's own name could make it too long.
        temporary = target.parent / f"{TEMPORARY}{secrets.token_hex(4)}-{this_process()}"
        with _explained(target):
            self._make_folder(target.parent)
            try:
                _write_flushed(temporary, content)
                yield temporary, target
            finally:
                temporary.unlink(missing_ok=True)
            _flush_folder(target.parent)

    def _make_folder(self, folder: Path) -> None:
        """Makes a folder with those above it, but not the root again that was there: its file system has been lost."""
        seen = self._seen  # before another thread of this process makes it
        missing = _missing(folder)
        if seen and self.root in missing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        for new in reversed(missing):
            new.mkdir(exist_ok=True)
            _flush_folder(new.parent)
        self._seen = True


def _missing(folder: Path) -> list[Path]:
    return list(itertools.takewhile(lambda one: not one.exists(), (folder, *folder.parents)))


def _write_flushed(file: Path, content: bytes) -> None:
    with open(file, "xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # What file systems say that flush the names in a folder by themselves, or never.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
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
