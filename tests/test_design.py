"""The rules of the house that a machine can keep."""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "sweep").rglob("*.py"))
STANDARD_LIBRARY_ONLY = {"config", "errors", "pieces"}
# On one's own machine GPUs are counted, and what trains is imported.
WITH_TORCH = {"loops", "trial", "tuning"}
WITHOUT_TORCH_AND_RAY = {
    "records",
    "storage",
    "stats",
    "tables",
    "figures",
    "report",
    "metrics",
    "lock",
    "display",
    "machine",
}


def imported(module: Path) -> set[str]:
    """Top-level packages that a module imports anywhere, and the rooms of `sweep` as `sweep.<room>`."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "sweep" else set()
    return {".".join(name.split(".")[: 2 if name.startswith("sweep.") else 1]) for name in names}


def room(module: Path) -> str:
    return module.relative_to(ROOT / "sweep").parts[0].removesuffix(".py")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_imports_only_what_its_room_may(module: Path) -> None:
    names = imported(module)
    if room(module) != "tuning":
        assert "ray" not in names
    if room(module) not in WITH_TORCH:
        assert "torch" not in names
    if room(module) in WITHOUT_TORCH_AND_RAY:
        assert not names & {"torch", "torchvision", "sweep.tuning", "sweep.trial", "sweep.loops", "sweep.datasets"}
    if room(module) in STANDARD_LIBRARY_ONLY:
        ours = {f"sweep.{name}" for name in STANDARD_LIBRARY_ONLY}
        assert all(name in sys.stdlib_module_names or name in ours for name in names)


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
    names = {name.partition(".")[0] for module in MODULES for name in imported(module)}
    ours = names - set(sys.stdlib_module_names) - {"sweep"}
    optional = {"aiohttp"}  # comes with ray[default], the extra `submit`
    assert {distributions[name][0].lower() for name in ours - optional} == declared
