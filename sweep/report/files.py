"""The files of a report: written, listed with their hashes, and taken away when a later report lacks them."""

import hashlib
import re
from collections.abc import Mapping

from sweep.errors import StorageError
from sweep.storage import Storage

LIST = "SHA256SUMS"
# Names a report may have written; a list that says others is not ours or was tampered with.
_LINE = re.compile(r"([0-9a-f]{64})  ((?:(?:figures|tables)/)?[\w=+-][\w.=+-]*)")


def write_files(folder: Storage, files: Mapping[str, bytes]) -> None:
    """Writes a report's files and their list, and removes what only the report before it had.

    A file goes only if that report listed it and its content is still the listed one: nothing of a user's is lost.

    Args:
        folder: Of the report.
        files: Content by path, `figures/` and `tables/` being the only folders.

    Raises:
        StorageError: if the storage refuses.
    """
    earlier = _listed(folder)
    for path, content in files.items():
        folder.write(path, content)
    for path, digest in earlier.items():
        if path not in files and _digest_of(folder, path) == digest:
            folder.delete(path)
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items())]
    folder.write(LIST, "".join(lines).encode())


def _listed(folder: Storage) -> dict[str, str]:
    try:
        text = folder.read(LIST).decode(errors="replace")
    except FileNotFoundError:
        return {}
    found = [_LINE.fullmatch(line) for line in text.splitlines()]
    return {match[2]: match[1] for match in found if match}


def _digest_of(folder: Storage, path: str) -> str:
    try:
        return hashlib.sha256(folder.read(path)).hexdigest()
    except (FileNotFoundError, StorageError):
        return ""
