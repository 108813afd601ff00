"""What a storage can do; the same for a folder and for a prefix of a bucket."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from sweep.storage.segments import files_of_lines

# What names of files that are only half written, or only a probe, begin with.
TEMPORARY = ".tmp-"


class Storage(ABC):
    """Files that are read and written whole.

    Paths given to its methods are relative to the root, with forward slashes. `str` gives the path or URI of the
    root, with which `open_storage` opens it again, in another process or on another host.
    """

    @abstractmethod
    def __str__(self) -> str: ...

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the path of the root."""

    @abstractmethod
    def folder(self, path: str) -> "Storage":
        """Gives the storage of a folder below this one."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Gives a file's content.

        Raises:
            FileNotFoundError: if there is none.
            StorageError: if the storage refuses, or cannot be reached.
        """

    @abstractmethod
    def read_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """Gives the content of each file in order, None where there is none."""

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole and atomically.

        Raises:
            StorageError: if the storage refuses, or cannot be reached; an older file stays intact.
        """

    @abstractmethod
    def create(self, path: str, content: bytes) -> bool:
        """Writes a file only if there is none; False if there is one."""

    @abstractmethod
    def append(self, path: str, line: str) -> None:
        """Adds a line to what is for people to read: at once, or within seconds; never for the truth."""

    @abstractmethod
    def flush(self) -> None:
        """Writes the lines that `append` holds back."""

    def read_lines(self, path: str) -> list[str]:
        """Gives the lines that `append` has added, here or where this storage was copied from; oldest first."""
        folder, slash, name = path.rpartition("/")
        names = files_of_lines(name, self.list(folder))
        contents = self.read_each([f"{folder}{slash}{one}" for one in names])
        return [line for content in contents if content for line in content.decode(errors="replace").splitlines()]

    @abstractmethod
    def rename(self, path: str, new_path: str) -> None:
        """Gives a file a new name in the same storage.

        Raises:
            FileNotFoundError: if there is none.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Removes a file; one that is not there is no error."""

    @abstractmethod
    def list(self, path: str = "") -> list[str]:
        """Gives the sorted names in a folder, without temporary files; none if there is no such folder."""

    @abstractmethod
    def files(self, path: str = "") -> set[str]:
        """Gives the paths of all files in a folder and below, without temporary ones."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is such a file."""

    @property
    @abstractmethod
    def keeps_checksums(self) -> bool:
        """Whether the storage itself makes sure that what is read is what was written."""

    @abstractmethod
    def remove_abandoned(self) -> None:
        """Removes, in this folder and below, what killed writers left; writers that live are not disturbed."""

    @abstractmethod
    def check_writable(self) -> None:
        """Writes a file, reads it back and removes it.

        Raises:
            StorageError: if that is refused, or another content comes back.
        """

    @abstractmethod
    def no_empty_folders(self) -> contextlib.AbstractContextManager[None]:
        """Takes away, at the end, the folders made within for this storage, if nothing has come into them."""

    @abstractmethod
    def free_gb(self) -> float | None:
        """Free space in GB (10^9 bytes); None where there is no limit to know."""
