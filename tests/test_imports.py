"""Imports point down: each folder may import only those below it, and no one imports a script."""

import ast
from pathlib import Path

import pytest

from utils.paths import ROOT

_BELOW = {
    "kernels": set(),
    "utils": {"kernels"},
    "models": {"utils", "kernels"},
    "renderers": {"utils", "kernels"},
    "losses": {"utils"},
    "metrics": {"utils"},
    "data": {"utils", "models", "renderers", "metrics"},
    "synthesis": {"utils", "models", "renderers"},
    "scenes": {"utils", "models", "renderers", "metrics"},
    "predict": {"utils", "models", "renderers", "metrics", "data"},
    "train": {"utils", "models", "renderers", "losses", "metrics", "data", "synthesis"},
    "evaluate": {
        "utils",
        "models",
        "renderers",
        "metrics",
        "data",
        "synthesis",
        "scenes",
        "predict",
    },
    "tools": {
        "utils",
        "models",
        "renderers",
        "metrics",
        "data",
        "synthesis",
        "scenes",
        "predict",
        "evaluate",
    },
}
_SCRIPTS = {"run_train", "run_predict", "run_evaluate"}


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("folder", sorted(_BELOW))
def test_folder_imports_only_what_is_below_it(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        wrong = _imported(path) & (set(_BELOW) | _SCRIPTS) - _BELOW[folder] - {folder}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_what_is_not_free_for_commercial_use_is_imported_by_tests_alone():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if parts[0] != "tests" and not parts[0].startswith("."):
            assert "smplx" not in _imported(path), path


def _named(requirements: str) -> set[str]:
    lines = (ROOT / requirements).read_text().splitlines()
    return {line.split("==")[0] for line in lines if "==" in line.split("#")[0]}


def test_running_needs_neither_tests_nor_two_builds_of_opencv():
    running, testing = _named("requirements.txt"), _named("requirements-dev.txt")
    assert {name for name in running | testing if "opencv" in name} == {"opencv-python-headless"}
    assert not running & testing
    assert {"pytest", "ruff", "smplx"} <= testing
