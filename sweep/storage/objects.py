"""A prefix of a bucket as a storage: each file is one object, written by one atomic put.

What differs from a folder, because an object store offers less through pyarrow (26.0):

- No put that fails if the object exists. `create` looks, writes, waits and reads back: of writers that begin within
  `_SETTLE_S` of each other the last one wins, and the others notice. A writer held up for longer between its look and
  its put may win late; the lock's heartbeat then tells the first holder. Two writers of a trial write the same numbers.
- No renaming: it copies, then deletes.
- No appending: lines become segments (`segments.py`).
- pyarrow leaves an empty object `folder/` where it deletes a file, as "Create folder" in a console does.
- An upload of more than 10 MB that is killed leaves invisible parts; a lifecycle rule of the bucket removes them.
"""

import contextlib
import os.path
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from sweep.errors import StorageError
from sweep.storage.base import TEMPORARY, Storage
from sweep.storage.s3 import Bucket
from sweep.storage.segments import Segments

_SETTLE_S = 1.0
_READ_AT_A_TIME = 16
# No writer takes this long over one file.
_ABANDONED_AFTER_S = 3600.0


class ObjectStorage(Storage):
    """The objects below a prefix of a bucket.

    Args:
        bucket: Of the objects; shared by the storages of its folders.
        prefix: Without slashes at its ends; "" is the whole bucket.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._segments: dict[str, Segments] = {}

    def __str__(self) -> str:
        return self._bucket.uri(self._prefix)

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self._prefix.rpartition("/")[2]

    def folder(self, path: str) -> "ObjectStorage":
        """Gives the storage of a folder below this one."""
        return ObjectStorage(self._bucket, self._key(path))

    def read(self, path: str) -> bytes:
        """Gives a file's content.

        Raises:
            FileNotFoundError: if there is none.
            StorageError: if the store refuses, or cannot be reached.
        """

        def request(filesystem: Any) -> bytes:
            with filesystem.open_input_file(self._object(path)) as file:
                content: bytes = file.read()
            return content

        return self._bucket.ask(self._key(path), request)

    def read_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """Gives the content of each file in order, None where there is none; lists first, reads several at a time."""
        if len(paths) > 1:
            there = self.files(os.path.commonpath([os.path.dirname(path) for path in paths]))
        else:
            there = set(paths)
        with ThreadPoolExecutor(_READ_AT_A_TIME) as pool:
            yield from pool.map(lambda path: self._read_or_none(path) if path in there else None, paths)

    def write(self, path: str, content: bytes) -> None:
        """Writes a file by one atomic put.

        Raises:
            StorageError: if the store refuses, or cannot be reached; an older file stays intact.
        """

        def request(filesystem: Any) -> None:
            stream = filesystem.open_output_stream(self._object(path), compression=None)
            stream.write(content)
            stream.close()

        self._bucket.ask(self._key(path), request)

    def create(self, path: str, content: bytes) -> bool:
        """Writes a file only if there is none; False if there is one, or if another writer was later."""
        if self.exists(path):
            return False
        self.write(path, content)
        time.sleep(_SETTLE_S)
        return self._read_or_none(path) == content

    def append(self, path: str, line: str) -> None:
        """Adds a line to what is for people to read; written within seconds."""
        self._segments.setdefault(path, Segments(path, self.write)).add(line)

    def flush(self) -> None:
        """Writes the lines that `append` holds back."""
        for segments in list(self._segments.values()):
            segments.flush()

    def rename(self, path: str, new_path: str) -> None:
        """Copies a file, then deletes the old one.

        Raises:
            FileNotFoundError: if there is none.
        """
        self.write(new_path, self.read(path))
        self.delete(path)

    def delete(self, path: str) -> None:
        """Removes a file; one that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            self._bucket.ask(self._key(path), lambda filesystem: filesystem.delete_file(self._object(path)))

    def list(self, path: str = "") -> list[str]:
        """Gives the sorted names in a folder, without temporary files; none if there is no such folder."""
        names = [info.base_name for info in self._infos(path)]
        return sorted(name for name in names if not name.startswith(TEMPORARY))

    def files(self, path: str = "") -> set[str]:
        """Gives the paths of all files in a folder and below, without temporary ones; a thousand per request."""
        below = len(self._object("")) + 1
        infos = self._infos(path, recursive=True)
        return {info.path[below:] for info in infos if info.is_file and not info.base_name.startswith(TEMPORARY)}

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        (info,) = self._bucket.ask(self._key(path), lambda filesystem: filesystem.get_file_info([self._object(path)]))
        return bool(info.is_file)

    @property
    def keeps_checksums(self) -> bool:
        """An object store checks what it receives and what it keeps."""
        return True

    def remove_abandoned(self) -> None:
        """Removes probes that killed drivers left, an hour after they were written."""
        now = datetime.now(UTC)
        for info in self._infos(""):
            if info.base_name.startswith(TEMPORARY) and (now - info.mtime).total_seconds() > _ABANDONED_AFTER_S:
                self.delete(info.base_name)

    def check_writable(self) -> None:
        """Writes an object, reads it back and removes it.

        Raises:
            StorageError: if that is refused, or another content comes back.
        """
        probe, content = f"{TEMPORARY}probe-{secrets.token_hex(4)}", secrets.token_bytes(16)
        with self.no_empty_folders():
            self.write(probe, content)
            same = self._read_or_none(probe) == content
            self.delete(probe)
        if not same:
            raise StorageError(f"{self} gives back something else than was written; choose another --storage")

    @contextlib.contextmanager
    def no_empty_folders(self) -> Iterator[None]:
        """Takes away, at the end, the empty objects `folder/` that came within for this storage.

        An object that another writer puts there between the look and the removal would go too: within milliseconds,
        and before it has an experiment there.
        """
        new = self._new_folders()
        try:
            yield
        finally:
            with contextlib.suppress(StorageError, FileNotFoundError):
                for folder in new:
                    if folder.list() or folder._infos(""):
                        break
                    folder._remove_marker()

    def free_gb(self) -> None:
        """An object store has no limit to know."""
        return

    def _new_folders(self) -> Sequence["ObjectStorage"]:
        """This folder and those above it, as far as they do not exist yet; the innermost first."""
        new: list[ObjectStorage] = []
        folder = self
        while folder._prefix and not folder._exists():
            new.append(folder)
            folder = ObjectStorage(self._bucket, os.path.dirname(folder._prefix))
        return new

    def _exists(self) -> bool:
        try:
            self._bucket.ask(self._prefix, lambda filesystem: filesystem.get_file_info(_selector(self._object(""))))
        except FileNotFoundError:
            return False
        return True

    def _remove_marker(self) -> None:
        self._bucket.ask(self._prefix, lambda filesystem: filesystem.delete_dir(self._object("")))

    def _read_or_none(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def _infos(self, path: str, *, recursive: bool = False) -> Sequence[Any]:
        selector = _selector(self._object(path), recursive=recursive)
        try:
            infos: Sequence[Any] = self._bucket.ask(
                self._key(path), lambda filesystem: filesystem.get_file_info(selector)
            )
        except FileNotFoundError:
            return []
        return infos

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self._prefix, path) if part)

    def _object(self, path: str) -> str:
        return "/".join(part for part in (self._bucket.name, self._prefix, path) if part)


def _selector(path: str, *, recursive: bool = False) -> Any:
    from pyarrow import fs

    return fs.FileSelector(path, recursive=recursive)
