"""demo/straps.ipynb runs from top to bottom, and is committed without what it printed."""

import json
import os
import subprocess
import sys

from predict.api import PersonResult
from utils.paths import DEMO

OUTPUT = 'ROOT / "output" / "notebook"'  # in the notebook


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    """Its cells in order in a program of its own, from its folder, as Jupyter starts them."""
    cells = json.loads((DEMO / "straps.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    program = "\n".join("".join(cell["source"]) for cell in code)
    assert OUTPUT in program
    program = program.replace(OUTPUT, f"Path({str(tmp_path)!r})")
    environment = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program + f"\nsheet.save({str(tmp_path / 'sheet.png')!r})"],
        cwd=DEMO, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert [line.split(":")[0] for line in printed[:8]] == sorted(
        path.name for path in DEMO.glob("*.jpg")
    )
    assert printed[-1].endswith(" vertices, closed")
    assert PersonResult.load(tmp_path / "standing.npz").photo == "standing.jpg"
    assert (tmp_path / "standing.obj").stat().st_size > 100_000
