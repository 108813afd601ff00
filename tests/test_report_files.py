"""A report in the folder of an older one: what is ours goes, what is a user's stays."""

import hashlib

import pytest

from sweep.report.files import write_files
from sweep.storage import LocalStorage


@pytest.fixture
def folder(tmp_path):
    return LocalStorage(tmp_path / "report")


def names(folder):
    return {str(file.relative_to(folder.root)) for file in folder.root.rglob("*") if file.is_file()}


def test_files_of_the_older_report_that_the_new_one_lacks_are_removed(folder):
    write_files(folder, {"README.md": b"old", "figures/confusion-deep.svg": b"deep", "tables/pivot.csv": b"1"})
    write_files(folder, {"README.md": b"new", "tables/pivot.csv": b"2"})
    assert names(folder) == {"README.md", "tables/pivot.csv", "SHA256SUMS"}
    assert folder.read("README.md") == b"new"


def test_files_of_a_user_are_never_removed(folder):
    write_files(folder, {"README.md": b"old", "figures/ranking.svg": b"ours", "figures/cost.svg": b"ours"})
    folder.write("figures/mine.svg", b"mine")
    folder.write("notes.txt", b"mine")
    folder.write("figures/cost.svg", b"drawn again by the user")
    write_files(folder, {"README.md": b"new"})
    assert names(folder) == {"README.md", "SHA256SUMS", "figures/mine.svg", "figures/cost.svg", "notes.txt"}


def test_a_list_that_names_other_files_harms_none(folder):
    outside = folder.root.parent / "outside.txt"
    folder.write("events/kept.txt", b"kept")
    outside.write_bytes(b"kept")
    digest = hashlib.sha256(b"kept").hexdigest()
    folder.write("SHA256SUMS", f"{digest}  ../outside.txt\n{digest}  events/kept.txt\n{digest}  ..\n\xff".encode())
    write_files(folder, {"README.md": b"new"})
    assert outside.read_bytes() == b"kept"
    assert folder.read("events/kept.txt") == b"kept"


def test_the_list_is_one_that_sha256sum_reads(folder):
    write_files(folder, {"README.md": b"a", "figures/x.svg": b"b"})
    assert folder.read("SHA256SUMS").decode() == (
        f"{hashlib.sha256(b'a').hexdigest()}  README.md\n{hashlib.sha256(b'b').hexdigest()}  figures/x.svg\n"
    )
