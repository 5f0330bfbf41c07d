"""Imports point down and run in no circle; nothing imports a run script."""

import ast
from pathlib import Path

import pytest

from utils.paths import ROOT

# From the lowest to the highest; a folder may import those of the rows above its own.
LAYERS = (
    ("kernels",),
    ("utils",),
    ("models", "renderers", "losses", "metrics", "data"),
    ("synthesis", "scenes"),
    ("predict",),
    ("train", "evaluate"),
    ("tools",),
)
LEVEL = {folder: level for level, layer in enumerate(LAYERS) for folder in layer}
SCRIPTS = {"run_train", "run_predict", "run_evaluate"}
FILES = sorted(path for folder in LEVEL for path in (ROOT / folder).rglob("*.py"))
EVERYTHING = sorted({*FILES, *ROOT.glob("*.py"), *(ROOT / "benchmarks").glob("*.py")})


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _imported(path: Path) -> set[str]:
    """Modules that a file names in its imports, and whatever it takes from them as one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the whole name of a module"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_folder_of_the_library_is_in_the_table():
    folders = {path.parent.relative_to(ROOT).parts[0] for path in ROOT.glob("*/*.py")}
    assert folders - {"tests", "benchmarks"} == set(LEVEL)


@pytest.mark.parametrize("folder", LEVEL)
def test_imports_point_down(folder):
    allowed = {other for other in LEVEL if LEVEL[other] < LEVEL[folder]} | {folder}
    for path in (path for path in FILES if path.is_relative_to(ROOT / folder)):
        wrong = {module.split(".")[0] for module in _imported(path)} & set(LEVEL) - allowed
        assert not wrong, f"{_module(path)} imports {sorted(wrong)}"


def test_nothing_imports_a_script():
    for path in EVERYTHING:
        assert not _imported(path) & SCRIPTS, f"{_module(path)} imports a script"


def test_no_circle_of_modules():
    modules = {_module(path): path for path in FILES}
    waiting = {name: _imported(path) & set(modules) - {name} for name, path in modules.items()}
    while free := {name for name, imported in waiting.items() if not imported & set(waiting)}:
        waiting = {name: imported for name, imported in waiting.items() if name not in free}
    assert not waiting, f"these import one another, or wait for those that do: {sorted(waiting)}"
