"""Ctrl-C and SIGTERM end a program in one line, and never in the middle of a file."""

import os
import signal
import sys
import time

import pytest

from tests.interrupts import start_program
from utils.paths import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")

_SWALLOWS = """
try:
    print("ready", flush=True)
    time.sleep(60)
except BaseException:
    pass
time.sleep(60)
"""
_WRITES = """
def write(file):
    file.write(b"half ")
    print("ready", flush=True)
    time.sleep(1)
    file.write(b"whole")
write_whole(Path("out.bin"), write)
time.sleep(60)
"""
_THREAD_WRITES = _WRITES.replace(
    'write_whole(Path("out.bin"), write)',
    'threading.Thread(target=write_whole, args=(Path("out.bin"), write)).start()',
)
_HAS_CHILD = """
from multiprocessing import get_context
child = get_context("spawn").Process(target=time.sleep, args=(60,))
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""


def _start(code, folder):
    code = (
        f"import sys, threading, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from utils.files import write_whole\n"
        "from utils.signals import end_on_signals\n"
        f"end_on_signals('stopped; so it is')\n{code}"
    )
    process = start_program([sys.executable, "-c", code], cwd=folder)
    return process, process.stdout.readline()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("code", [_SWALLOWS, _WRITES, _THREAD_WRITES])
def test_a_signal_is_never_swallowed_and_files_are_whole(tmp_path, code, number, status):
    process, _ = _start(code, tmp_path)
    process.send_signal(number)
    assert process.communicate(timeout=30) == ("", "-c: stopped; so it is\n")
    assert process.returncode == status
    if code != _SWALLOWS:
        assert (tmp_path / "out.bin").read_text() == "half whole"
        assert os.listdir(tmp_path) == ["out.bin"]


def test_a_closed_stderr_is_told_too(tmp_path):
    """As a detector leaves it while it loads."""
    code = "import os; os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n" + _SWALLOWS
    process, _ = _start(code, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == "-c: stopped; so it is\n"


def test_a_second_signal_waits_for_nothing(tmp_path):
    process, _ = _start(_WRITES.replace("sleep(1)", "sleep(60)"), tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert not (tmp_path / "out.bin").exists()


def test_no_child_is_left(tmp_path):
    process, child = _start(_HAS_CHILD, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[1] == "-c: stopped; so it is\n"
    _wait_for_end(int(child))


def test_a_child_ends_with_its_parent(tmp_path):
    code = _HAS_CHILD.replace("target=time.sleep, args=(60,)", "target=end_and_sleep")
    (tmp_path / "sleeper.py").write_text(
        "import time; from utils.signals import end_with_parent\n"
        "def end_and_sleep():\n    end_with_parent()\n    time.sleep(60)\n"
    )
    code = "sys.path.insert(0, '.'); from sleeper import end_and_sleep\n" + code
    process, child = _start(code, tmp_path)
    time.sleep(0.5)
    process.kill()
    process.communicate(timeout=30)
    _wait_for_end(int(child))


def _wait_for_end(number):
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the child is still there")
