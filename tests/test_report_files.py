"""A report's folder: ours if it is new, empty or a report; what is a user's stays, in whatever folder."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from sweep.errors import ConfigError, StorageError
from sweep.report.files import choose_folder, folders_of, unused, write_files
from sweep.storage import LocalStorage

ROOT = Path(__file__).parent.parent
# The least that every report of one experiment has.
FILES = {"README.md": b"words", "report.html": b"page", "results.csv": b"1", "tables/provenance.csv": b"what"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "report"


def write(folder, **more):
    write_files(folder, FILES | {path.replace("__", "/").replace("_", "."): text for path, text in more.items()},
                instead=folder / "other")  # fmt: skip


def content(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_files_of_the_older_report_that_the_new_one_lacks_are_removed(folder):
    write(folder, figures__deep_svg=b"deep", tables__pivot_csv=b"1")
    write(folder, tables__pivot_csv=b"2", README_md=b"new")
    assert content(folder).keys() == {*FILES, "tables/pivot.csv", "SHA256SUMS"}
    assert content(folder)["README.md"] == b"new"


def test_a_users_files_beside_a_report_stay_as_they_are(folder):
    write(folder, figures__cost_svg=b"ours", figures__wall_svg=b"ours")
    own = {"notes.txt": b"mine", "figures/mine.svg": b"mine", "figures/cost.svg": b"drawn again", ".hidden": b"mine"}
    for path, text in own.items():
        (folder / path).write_bytes(text)
    write(folder)
    assert content(folder) == FILES | own | {"SHA256SUMS": (folder / "SHA256SUMS").read_bytes()}


@pytest.mark.parametrize("path", ["README.md", "tables/provenance.csv", "report.html"])
def test_a_file_of_ours_that_was_changed_since_is_not_written_over(folder, path):
    write(folder)
    (folder / path).write_bytes(b"edited by hand")
    before = content(folder)
    with pytest.raises(ConfigError, match=f"{path} is not as a report of sweep has written it.*--out"):
        write(folder, README_md=b"new")
    with pytest.raises(ConfigError, match=path):
        choose_folder(LocalStorage(folder.parent), ["e"], str(folder))
    assert content(folder) == before


def test_a_users_file_with_a_name_that_only_the_new_report_needs_is_not_written_over(folder):
    write(folder)
    (folder / "tables" / "pivot.csv").write_bytes(b"mine")
    before = content(folder)
    with pytest.raises(ConfigError, match="is not as a report"):
        write(folder, tables__pivot_csv=b"1")
    assert content(folder) == before


def sums(files):
    return "".join(f"{hashlib.sha256(text).hexdigest()}  {path}\n" for path, text in files.items()).encode()


OWN = {"README.md": b"my project", "report.html": b"my page", "results.csv": b"my numbers"}
FOREIGN = {
    "a project": {"README.md": b"my project"},
    "one file that no report has": {"thesis.tex": b"x"},
    "a hidden file": {".git": b"x"},
    "checksums of the user's own": OWN | {"SHA256SUMS": sums(OWN)},
    "checksums of a report and something else": FILES | {"a.txt": b"a"} | {"SHA256SUMS": sums(FILES | {"a.txt": b"a"})},
    "checksums that lead outside": FILES | {"SHA256SUMS": sums(FILES | {"../outside.txt": b"kept"})},
    "checksums that are none": FILES | {"SHA256SUMS": b"\xff\xfe"},
    "no checksums": FILES,
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_folder_that_is_no_report_is_refused_with_another_one_proposed(case, folder):
    outside = folder.parent / "outside.txt"
    outside.write_bytes(b"kept")
    for path, text in FOREIGN[case].items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text)
    with pytest.raises(ConfigError, match=f"--out {re.escape(str(folder / 'e'))}$"):
        choose_folder(LocalStorage(folder.parent), ["e"], str(folder))
    with pytest.raises(ConfigError):
        write(folder)
    assert content(folder) == FOREIGN[case]
    assert outside.read_bytes() == b"kept"
    assert choose_folder(LocalStorage(folder.parent), ["e"], str(folder / "e")) == folder / "e"


def test_a_linked_folder_inside_a_report_is_not_followed(folder, tmp_path):
    write(folder)
    (tmp_path / "elsewhere").mkdir()
    (folder / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        write(folder, figures__cost_svg=b"ours")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../x.csv", "/etc/x.csv", "figures/../../x.svg", "figures/a/b.svg", "tables/x.sh", "x.html", "figures/.."]
)
def test_no_path_leads_out_of_the_folder(path, folder):
    with pytest.raises(ValueError, match="cannot be files of a report"):
        write_files(folder, FILES | {path: b"x"}, instead=folder)
    assert not folder.exists()


def test_whoever_is_killed_while_writing_leaves_a_folder_that_the_next_report_takes(folder, monkeypatch):
    written = []

    class Killed(BaseException):
        pass

    def write_some(storage, path, text):
        if len(written) == stop_after:
            raise Killed
        written.append(path)
        real(storage, path, text)

    real = LocalStorage.write
    for stop_after in range(7):
        with monkeypatch.context() as patched:
            patched.setattr(LocalStorage, "write", write_some)
            written.clear()
            with pytest.raises(Killed):
                write(folder, README_md=f"attempt {stop_after}".encode(), figures__cost_svg=b"cost", **{
                    f"tables__t{stop_after}_csv": b"1"})  # fmt: skip
    write(folder, README_md=b"at last")
    assert content(folder).keys() == {*FILES, "SHA256SUMS"}
    assert content(folder)["README.md"] == b"at last"


def test_reports_of_0_1_0_are_known_as_reports(tmp_path):
    for name in ("mnist", "published"):
        shutil.copytree(ROOT / "reports" / name, tmp_path / name)
        assert choose_folder(LocalStorage(tmp_path), ["e"], str(tmp_path / name)) == tmp_path / name


def test_the_list_is_one_that_sha256sum_reads(folder):
    write(folder)
    assert (folder / "SHA256SUMS").read_bytes() == sums(dict(sorted(FILES.items())))


def test_the_usual_place_is_beside_the_experiment_and_nothing_is_left_there_by_choosing(tmp_path):
    storage = LocalStorage(tmp_path / "storage")
    assert choose_folder(storage, ["e"], None) == tmp_path / "storage" / "e" / "report"
    assert choose_folder(storage, ["e", "f"], None) == tmp_path / "storage" / "reports" / "e+f"
    assert list(tmp_path.iterdir()) == []


def test_different_experiments_side_by_side_never_share_a_folder(tmp_path):
    storage = LocalStorage(tmp_path)
    combinations = [["a+b", "c"], ["a", "b+c"], ["a", "b", "c"], ["a+", "b"], ["a+b"], ["a", "b"], ["n" * 90, "m" * 90]]
    chosen = [choose_folder(storage, names, None) for names in combinations]
    assert len(set(chosen)) == len(chosen)
    assert max(len(folder.name) for folder in chosen) < 200


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/proc").exists(), reason="needs a folder that even root cannot write"
)
def test_where_the_storage_cannot_be_written_the_place_is_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unwritable = LocalStorage("/proc/self/fdinfo" if os.geteuid() == 0 else "/")
    assert choose_folder(unwritable, ["e"], None) == Path("e-report")
    assert choose_folder(unwritable, ["e", "f"], None) == Path("e+f-report")
    with pytest.raises(StorageError, match="choose another folder with --out"):
        choose_folder(unwritable, ["e"], str(unwritable.root / "out"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match=r"file.*--out"):
        choose_folder(unwritable, ["e"], "file")


def test_a_link_in_an_experiment_leads_no_report_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "storage" / "e").mkdir(parents=True)
    (tmp_path / "storage" / "e" / "report").symlink_to(tmp_path / "elsewhere")
    assert choose_folder(LocalStorage(tmp_path / "storage"), ["e"], None) == Path("e-report")


def test_a_users_folder_where_one_of_several_reports_would_go_is_refused(tmp_path):
    (tmp_path / "out" / "b").mkdir(parents=True)
    (tmp_path / "out" / "b" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        choose_folder(LocalStorage(tmp_path), ["a", "b"], str(tmp_path / "out"))


def test_a_bucket_is_no_place_for_a_report(tmp_path):
    with pytest.raises(ConfigError, match="--out s3://b/r is no folder"):
        choose_folder(LocalStorage(tmp_path), ["e"], "s3://b/r")


def test_names_that_differ_in_case_only_or_are_the_reports_own_get_a_number():
    assert folders_of(["a"]) == []
    assert folders_of(["a", "A", "b"]) == ["a", "A-2", "b"]
    assert folders_of(["figures", "README.md", "a"]) == ["figures-2", "README.md-2", "a"]
    assert unused("a", ["b", "A", "a-2"]) == "a-3"
