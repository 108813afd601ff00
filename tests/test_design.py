"""The rules of the house that a machine can keep."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SWEEP = ROOT / "sweep"
MODULES = sorted(SWEEP.rglob("*.py"))
MOST_LINES, MOST_FILES, LONGEST_FUNCTION = 12_000, 90, 60

# From the ground up: a room imports rooms of the floors below its own, wherever in a file, and none beside it.
FLOORS = (
    {"axes", "errors", "machine", "metrics", "pieces", "stats", "streams"},
    {"figures", "storage", "tasks"},
    {"config", "lock"},
    {"records"},
    {"datasets", "table"},
    {"loops", "plan", "report"},
    {"display", "examples", "trial"},
    {"interruption", "tuning"},
    {"doctor"},
    {"verify"},
    {"launch"},
    {"cli"},
    {"__main__"},
)
# Arrows that do not point down, each with its reason.
UP = {
    ("pieces", "loops"): "import paths of what a sweep file may name, followed when a trial needs them",
    ("report", "examples"): "the section of the published table stands in the list of sections",
}
STANDARD_LIBRARY_ONLY = {"axes", "config", "errors", "metrics", "pieces"}
WITH_TORCH = {"loops", "trial", "tuning"}  # in tuning GPUs are counted, and what trains is imported
# What has no need of the libraries that train, nor of whatever a user's data set is read with.
OF_RECORDS = {"records", "storage", "stats", "figures", "report", "metrics", "lock", "display", "machine"}
# Of one kind of task; its own files have it in their path.
CLASSIFICATION = re.compile("accuracy|confusion|class_names|argmax", re.IGNORECASE)


def imported(module: Path) -> set[str]:
    """Everything that a module imports anywhere, and what it names by an import path in a text of its own."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and re.fullmatch(r"sweep(\.[a-z_]\w*)+", str(node.value)):
            names.add(str(node.value))
    return names


def packages(module: Path) -> set[str]:
    """The top-level packages that a module imports anywhere."""
    return {name.partition(".")[0] for name in imported(module)}


def rooms(module: Path) -> set[str]:
    """The rooms of `sweep` that a module imports anywhere."""
    found = {name.split(".")[1] for name in imported(module) if name.startswith("sweep.")}
    return found & set().union(*FLOORS)


def room(module: Path) -> str:
    return module.relative_to(SWEEP).parts[0].removesuffix(".py")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_imports_only_what_its_room_may(module: Path) -> None:
    names = packages(module)
    if room(module) != "tuning":
        assert "ray" not in names
    if room(module) not in WITH_TORCH:
        assert "torch" not in names
    if room(module) in OF_RECORDS:
        assert "torchvision" not in names
        assert not rooms(module) & {"tuning", "trial", "loops", "datasets"}
    if room(module) in STANDARD_LIBRARY_ONLY:
        assert names <= {*sys.stdlib_module_names, "sweep"}


def test_every_room_has_a_floor_and_no_floor_is_of_a_room_that_was() -> None:
    known = [name for floor in FLOORS for name in floor]
    assert sorted(known) == sorted({room(module) for module in MODULES} - {"__init__"})


def test_arrows_between_rooms_point_down_only() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    arrows = {(room(module), other) for module in MODULES for other in rooms(module)}
    arrows = {(one, other) for one, other in arrows if one in floor and one != other}
    assert {(one, other) for one, other in arrows if floor[one] <= floor[other]} == UP.keys()


def picture() -> list[str]:
    """The lines of the README's picture of how it works, each as long as the longest."""
    text = (ROOT / "README.md").read_text().partition("## How it works\n\n```\n")[2].partition("```")[0]
    width = max(map(len, text.splitlines()))
    return [line.ljust(width) for line in text.splitlines()]


def names_at(line: str, column: int) -> list[str]:
    """The rooms that are named, with commas between, where a column is."""
    return next(m[0].split(", ") for m in re.finditer(r"[a-z]+(, [a-z]+)*", line) if m.start() <= column < m.end())


def drawn() -> set[tuple[str, str]]:
    """The arrows of the picture."""
    lines, arrows = picture(), set()
    for number, line in enumerate(lines):
        for tip in re.finditer("►", line):
            row, start = number, re.search("[^─]─*$", line[: tip.start()]).start()  # type: ignore[union-attr]
            while lines[row][start] in "├└│":
                row -= 1
            if lines[row][start] == "┬":
                start = re.search(" ─*$", lines[row][:start]).start()  # type: ignore[union-attr]
            sources, targets = names_at(lines[row], start - 1), names_at(line, tip.end() + 1)
            arrows |= {(source, target) for source in sources for target in targets}
    return arrows


def test_the_picture_in_the_readme_is_the_real_house() -> None:
    arrows = {(room(module), other) for module in MODULES for other in rooms(module)}
    assert len(drawn()) > 20
    assert drawn() - arrows == set()
    of_little_weight = {"__init__", "__main__", "errors", "interruption", "machine", "streams"}
    assert {name for arrow in drawn() for name in arrow} >= {room(module) for module in MODULES} - of_little_weight


def test_only_files_of_classification_speak_of_it() -> None:
    # Sweep files are a user's words.
    files = [path for path in SWEEP.rglob("*") if path.suffix in {".py", ".html", ".css", ".js"}]
    speaking = {
        name: found
        for path in files
        if "classification" not in (name := path.relative_to(ROOT).as_posix())
        and not name.startswith("sweep/examples/")
        and (found := sorted(set(CLASSIFICATION.findall(f"{name} {path.read_text()}"))))
    }
    assert speaking == {}


def test_a_function_fits_a_screen() -> None:
    functions = [
        (str(module.relative_to(ROOT)), node.name, node.end_lineno - node.lineno + 1)
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    assert len(functions) > 500
    assert [function for function in functions if function[2] > LONGEST_FUNCTION] == []


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="the rooms are still being made smaller")
def test_the_house_is_small() -> None:
    assert len(MODULES) <= MOST_FILES
    assert sum(len(module.read_text().splitlines()) for module in MODULES) <= MOST_LINES


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_says_what_it_owns(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text()))


def test_the_command_line_loads_neither_torch_nor_ray() -> None:
    code = "import sys, sweep.cli; print([n for n in ('torch', 'ray', 'pandas', 'matplotlib') if n in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_report_loads_nothing_that_takes_long_for_little() -> None:
    slow = ("scipy.stats", "statsmodels", "matplotlib.pyplot")
    code = f"import sys, sweep.report.writing; print([n for n in {slow} if n in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_what_is_imported_is_what_is_depended_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {Requirement(line).name for line in project["dependencies"]}
    distributions = importlib.metadata.packages_distributions()
    names = set().union(*map(packages, MODULES))
    ours = names - set(sys.stdlib_module_names) - {"sweep"}
    optional = {"aiohttp"}  # comes with ray[default], the extra `submit`
    assert {distributions[name][0].lower() for name in ours - optional} == declared
