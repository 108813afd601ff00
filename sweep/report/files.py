"""Where a report is written, and its files: listed with their hashes, and taken away when a later report lacks them.

A folder is a report of ours if its `SHA256SUMS` names the files of a report and nothing else. A file in it that the
list does not name, or that is no longer what the list says, is somebody's own: it is neither replaced nor removed.
"""

import contextlib
import hashlib
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sweep.errors import ConfigError, StorageError, one_line, reason
from sweep.storage import LocalStorage, Storage

_LIST = "SHA256SUMS"
_ENTRIES = (_LIST, "README.md", "report.html", "results.csv", "history.csv", "figures", "tables")
# Every name that a report may write: each stays in the folder.
_FILE = r"README\.md|report\.html|results\.csv|history\.csv|figures/[\w.=+-]+\.svg|tables/[\w-]+\.(?:csv|tex)"
_LINE = re.compile(rf"[0-9a-f]{{64}}  ({_FILE})")


def choose_folder(storage: Storage, names: Sequence[str], out: str | None) -> Path:
    """The folder for a report of experiments, checked to be writable and to hold nothing but a report.

    Without `out` it is beside the experiment, or, where nothing can be written there, in the current folder.

    Raises:
        ConfigError: if the folder holds something else, or is not of this machine.
        StorageError: if it cannot be written.
    """
    if out and "://" in out:
        raise ConfigError(f"--out {out} is no folder; a report is written to this machine, copy it from there")
    folder = Path(out) if out else _default_folder(storage, names)
    with _explained(folder):
        for place in (folder, *(folder / name for name in folders_of(names))):
            _check_ours(place, instead=proposed_folder(folder, names))
        LocalStorage(folder).check_writable()
    return folder


def proposed_folder(out: Path, names: Sequence[str]) -> Path:
    """The folder to write to instead of one that is somebody's own."""
    return out / _joined(names)


def folders_of(names: Sequence[str]) -> list[str]:
    """The folders of several experiments, each below the report that compares them; none for a single one."""
    folders: list[str] = []
    for name in names if len(names) > 1 else ():
        folders.append(unused(one_line(name), [*_ENTRIES, *folders]))
    return folders


def unused(name: str, taken: Iterable[str]) -> str:
    """A name that differs from those taken in more than the case: itself, or with a number behind it."""
    others = {other.casefold() for other in taken}
    free, number = name, 1
    while free.casefold() in others:
        number += 1
        free = f"{name}-{number}"
    return free


def write_files(out: Path, files: Mapping[str, bytes], *, instead: Path) -> None:
    """Writes a report's files by path and their list, and removes what only the report before it had.

    `instead` is the folder to propose where this one is somebody's own.

    Raises:
        ConfigError: if the folder or one of the files is somebody's own; nothing was written.
        StorageError: if the folder cannot be written.
        ValueError: if a path is none of a report.
    """
    if strange := [path for path in files if not re.fullmatch(_FILE, path)]:
        raise ValueError(f"{strange} cannot be files of a report")
    lines = [_line(path, content) for path, content in sorted(files.items())]
    with _explained(out):
        before = _check_ours(out, files, instead=instead)
        folder = LocalStorage(out)
        # Both lists first: whoever is killed from here on leaves nothing that looks like somebody's own.
        folder.write(_LIST, "\n".join([*before, *lines, ""]).encode())
        for path, content in files.items():
            folder.write(path, content)
        for path in set(before.values()) - files.keys():
            if _is_ours(out, path, before):
                folder.delete(path)
        folder.write(_LIST, "\n".join([*lines, ""]).encode())


def _check_ours(out: Path, paths: Iterable[str] | None = None, *, instead: Path) -> dict[str, str]:
    """Refuses a folder that is no report, or where one of `paths` (or of its own) was changed; gives its list."""
    folder = LocalStorage(out)
    if not folder.list():
        return {}
    lines = folder.read(_LIST).decode(errors="replace").splitlines() if folder.exists(_LIST) else []
    known = {match[0]: match[1] for line in lines if (match := _LINE.fullmatch(line))}
    files = set(known.values())
    of_one_kind = files & {"tables/provenance.csv", "tables/side-by-side.csv"}
    ours = known.keys() == set(lines) and files >= {"README.md", "report.html"} and of_one_kind
    choose = f"folder, such as --out {shlex.quote(str(instead))}"
    if not ours or any((out / name).is_symlink() for name in ("figures", "tables")):
        holds = f"{out} holds other files than a report of sweep, and none of them is replaced"
        raise ConfigError(f"{holds}; choose a new or empty {choose}")
    for path in known.values() if paths is None else paths:
        if os.path.lexists(out / path) and not _is_ours(out, path, known):
            changed = f"{out / path} is not as a report of sweep has written it, and is not replaced"
            raise ConfigError(f"{changed}; move it away, or choose a new {choose}")
    return known


def _line(path: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {path}"


def _is_ours(out: Path, path: str, known: Collection[str]) -> bool:
    return (out / path).is_file() and _line(path, (out / path).read_bytes()) in known


def _default_folder(storage: Storage, names: Sequence[str]) -> Path:
    if isinstance(storage, LocalStorage):
        folder = storage.folder(f"{names[0]}/report" if len(names) == 1 else f"reports/{_joined(names)}")
        with contextlib.suppress(StorageError):
            folder.check_writable()
            # An experiment from somebody else may have a link there, to lead a report elsewhere.
            if not folder.root.is_symlink():
                return folder.root
    return Path(f"{_joined(names)}-report")


def _joined(names: Sequence[str]) -> str:
    # A plus of a name is doubled, or the experiments "A+B" and "C" would share a folder with "A" and "B+C".
    joined = "+".join(name.replace("+", "++") for name in names)
    return joined if len(joined) <= 100 else f"{joined[:80]}-{hashlib.sha256(os.fsencode(joined)).hexdigest()[:16]}"


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, StorageError) as error:
        why = reason(error.__cause__ or error)
        raise StorageError(f"a report cannot be written to {out} ({why}); choose another folder with --out") from error
