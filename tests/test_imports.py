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
    "data": {"utils"},
    "synthesis": {"utils", "models", "renderers"},
    "scenes": {"utils", "models", "renderers", "metrics", "data"},
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
