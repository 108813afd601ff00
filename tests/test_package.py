"""What is built from the sources is all that a stranger needs: a source archive, the wheel made from it, its run."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from command import run_command

import sweep

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked wheel, built from the unpacked source archive."""
    folder = tmp_path_factory.mktemp("package")
    tree = folder / "tree"
    shutil.copytree(ROOT / "sweep", tree / "sweep", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    code = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=tree, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(folder / "sources", filter="data")
    (source,) = (folder / "sources").iterdir()
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=folder, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder / "wheel")
    return folder / "wheel"


def test_a_wheel_holds_every_file_of_the_package(unpacked: Path) -> None:
    def files(folder: Path) -> dict[str, bytes]:
        found = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    assert files(unpacked / "sweep") == files(ROOT / "sweep")
    assert files(unpacked / "sweep")["data/digits/digits.csv.gz"]


def test_a_wheel_has_a_name_of_its_own_our_command_and_the_licences(unpacked: Path) -> None:
    (found,) = importlib.metadata.distributions(path=[str(unpacked)])
    assert (found.name, found.version) == ("sweepwise", sweep.__version__)
    assert [(point.name, point.value) for point in found.entry_points] == [("sweep", "sweep.cli:main")]
    licences = {file.parent.name for file in found.files or () if file.stem == "LICENSE"}
    assert licences == {"licenses", "digits", "mnist"}


def test_a_wheel_runs_from_another_folder(unpacked: Path, tmp_path: Path) -> None:
    only_the_wheel = {"PYTHONPATH": str(unpacked)}
    code = "import sweep; print(sweep.__file__)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | only_the_wheel,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(answer.stdout.strip()).is_relative_to(unpacked)
    words = ("smoke", "depth=shallow", "--storage", str(tmp_path / "experiments"))
    finished = run_command("run", *words, cwd=tmp_path, variables=only_the_wheel)
    assert finished.returncode == 0, finished.stderr
    shown = run_command(
        "report", "smoke", "--storage", words[-1], "--out", "page", cwd=tmp_path, variables=only_the_wheel
    )
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "page" / "report.html").stat().st_size > 100_000
