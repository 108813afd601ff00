"""Where a report is written, and its files: listed with their hashes, and taken away when a later report lacks them.

A folder is a report of ours if its `SHA256SUMS` names the files of a report and nothing else. A file in it that the
list does not name, or that is no longer what the list says, is somebody's own: it is neither replaced nor removed.
"""

import contextlib
import hashlib
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sweep.errors import ConfigError, StorageError, one_line
from sweep.storage import LocalStorage, Storage

LIST = "SHA256SUMS"
_ENTRIES = (LIST, "README.md", "report.html", "results.csv", "history.csv", "figures", "tables")
# Every name that a report may write: each stays in the folder.
_FILE = r"README\.md|report\.html|results\.csv|history\.csv|figures/[\w.=+-]+\.svg|tables/[\w-]+\.(?:csv|tex)"
_LINE = re.compile(rf"([0-9a-f]{{64}})  ({_FILE})")
_IN_EVERY_REPORT = {"README.md", "report.html"}
_IN_ONE_KIND = {"tables/provenance.csv", "tables/side-by-side.csv"}


def choose_folder(storage: Storage, names: Sequence[str], out: str | None) -> Path:
    """Gives the folder for a report, checked to be writable and to hold nothing but a report.

    Args:
        storage: Of the experiments.
        names: Of the experiments.
        out: What the user asked for; without it the place is beside the experiment, or, where nothing can be written
            there, in the current folder.

    Raises:
        ConfigError: if the folder holds something else, or is not of this machine.
        StorageError: if it cannot be written.
    """
    if out and "://" in out:
        raise ConfigError(f"--out {out} is no folder; a report is written to this machine, copy it from there")
    folder = Path(out) if out else _default_folder(storage, names)
    with _explained(folder):
        for place in (folder, *(folder / name for name in folders_of(names))):
            known = _known(place, proposed_folder(folder, names))
            _refuse_changed(place, known, known, proposed_folder(folder, names))
        LocalStorage(folder).check_writable()
    return folder


def proposed_folder(out: Path, names: Sequence[str]) -> Path:
    """Gives the folder to write to instead of one that is somebody's own."""
    return out / _joined(names)


def folders_of(names: Sequence[str]) -> list[str]:
    """Gives the folder that each of several experiments has below the report that compares them; none for one."""
    folders: list[str] = []
    for name in names if len(names) > 1 else ():
        folders.append(unused(one_line(name), [*_ENTRIES, *folders]))
    return folders


def unused(name: str, taken: Iterable[str]) -> str:
    """Gives a name that differs from those taken in more than the case: itself, or with a number behind it."""
    others = {other.casefold() for other in taken}
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one.casefold() not in others)


def write_files(out: Path, files: Mapping[str, bytes], *, instead: Path) -> None:
    """Writes a report's files and their list, and removes what only the report before it had.

    Args:
        out: Folder of the report.
        files: Content by path, `figures/` and `tables/` being the only folders.
        instead: The folder to propose where this one is somebody's own.

    Raises:
        ConfigError: if the folder or one of the files is somebody's own; nothing was written.
        StorageError: if the folder cannot be written.
        ValueError: if a path is none of a report.
    """
    if strange := [path for path in files if not re.fullmatch(_FILE, path)]:
        raise ValueError(f"{strange} cannot be files of a report")
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items())]
    with _explained(out):
        known = _known(out, instead)
        _refuse_changed(out, files, known, instead)
        earlier = [f"{digest}  {path}\n" for path, digests in known.items() for digest in digests]
        folder = LocalStorage(out)
        # Both lists first: whoever is killed from here on leaves nothing that looks like somebody's own.
        folder.write(LIST, "".join([*earlier, *lines]).encode())
        for path, content in files.items():
            folder.write(path, content)
        for path in known.keys() - files.keys():
            if _is_ours(out / path, known[path]):
                folder.delete(path)
        folder.write(LIST, "".join(lines).encode())


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


def _known(out: Path, instead: Path) -> dict[str, set[str]]:
    """Gives the hashes that each file of the report in a folder may have; none for a new or an empty folder."""
    folder = LocalStorage(out)
    if not folder.list():
        return {}
    try:
        lines = folder.read(LIST).decode(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    matches = [match for line in lines if (match := _LINE.fullmatch(line))]
    known: dict[str, set[str]] = {}
    for match in matches:
        known.setdefault(match[2], set()).add(match[1])
    ours = len(matches) == len(lines) and known.keys() >= _IN_EVERY_REPORT and known.keys() & _IN_ONE_KIND
    if not ours or any((out / name).is_symlink() for name in ("figures", "tables")):
        raise ConfigError(
            f"{out} holds other files than a report of sweep, and none of them is replaced; choose a new or empty "
            f"folder, such as --out {shlex.quote(str(instead))}"
        )
    return known


def _refuse_changed(out: Path, paths: Iterable[str], known: Mapping[str, set[str]], instead: Path) -> None:
    for path in paths:
        if os.path.lexists(out / path) and not _is_ours(out / path, known.get(path, set())):
            raise ConfigError(
                f"{out / path} is not as a report of sweep has written it, and is not replaced; move it away, or "
                f"choose a new folder, such as --out {shlex.quote(str(instead))}"
            )


def _is_ours(file: Path, digests: set[str]) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() in digests


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, StorageError) as error:
        cause = error.__cause__ or error
        reason = cause.strerror if isinstance(cause, OSError) else cause
        raise StorageError(
            f"a report cannot be written to {out} ({reason}); choose another folder with --out"
        ) from error
