"""Imports point down and run in no circle; nothing imports a run script; functions are short."""

import re
import subprocess
import sys

import pytest

from benchmarks import structure
from utils.paths import ROOT


def test_every_folder_of_the_library_has_a_layer():
    folders = {path.parent.name for path in ROOT.glob("*/*.py")}
    assert folders - {"tests", "benchmarks"} == set(structure.LEVELS)


def test_imports_point_down():
    assert structure.find_upward_imports() == []


def test_nothing_imports_a_script():
    assert structure.find_script_imports() == []


def test_no_circle_of_modules():
    assert structure.find_circles() == []


def test_functions_are_short():
    assert structure.find_long_functions() == []


def test_what_is_wrong_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(structure, "ROOT", tmp_path)
    for name, text in {
        "utils/a.py": "from models import b",
        "models/b.py": "def long():\n" + "    print()\n" * 50,
        "tools/c.py": "import run_train\nfrom tools import d",
        "tools/d.py": "def late():\n    import tools.c",
        "tests/test_run.py": "import run_train\n" * 99,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert structure.find_upward_imports() == ["utils.a imports models"]
    assert structure.find_script_imports() == ["tools.c"]
    assert structure.find_circles() == ["tools.c", "tools.d"]
    assert structure.find_long_functions() == ["models.b.long: 51 lines"]


def test_what_is_not_free_for_commercial_use_is_imported_by_tests_alone():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if parts[0] != "tests" and not parts[0].startswith("."):
            assert not re.search(r"^\s*(import|from) smplx", path.read_text(), re.MULTILINE), path


def _named(requirements: str) -> set[str]:
    lines = (ROOT / requirements).read_text().splitlines()
    return {line.split("==")[0] for line in lines if "==" in line.split("#")[0]}


def test_running_needs_neither_tests_nor_two_builds_of_opencv():
    running, testing = _named("requirements.txt"), _named("requirements-dev.txt")
    assert {name for name in running | testing if "opencv" in name} == {"opencv-python-headless"}
    assert not running & testing
    assert {"pytest", "ruff", "smplx"} <= testing


@pytest.mark.parametrize(
    ("script", "heavy"),
    [
        ("run_train", {"torch", "numpy", "cv2", "scipy", "tensorboard"}),
        ("run_predict", {"torch", "cv2", "mediapipe", "pyrender", "scipy"}),
        ("run_evaluate", {"torch", "cv2", "mediapipe", "pyrender", "scipy"}),
    ],
)
def test_help_loads_nothing_heavy(script, heavy):
    program = f"import sys, {script}\nheavy = {heavy} & set(sys.modules)\nassert not heavy, heavy\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
