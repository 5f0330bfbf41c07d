import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from utils.command_line import (
    BROKEN_PIPE,
    NO_OUTPUT,
    STOPPED,
    WRONG_USE,
    escape_controls,
    find_given,
    parse_options,
    run_script,
)
from utils.errors import InputError
from utils.paths import ROOT


@dataclass(frozen=True)
class _Options:
    batch_size: int = 8
    renderer: str = "auto"


def _parse(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run_something.py", *arguments])
    return parse_options(_Options, "Does something.")


def test_options_are_read_with_hyphens_and_underscores(monkeypatch):
    assert _parse(monkeypatch) == _Options()
    assert _parse(monkeypatch, "--batch-size", "3") == _Options(batch_size=3)
    assert _parse(monkeypatch, "--batch_size", "3") == _Options(batch_size=3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--bach-size", "3"), "--batch-size"),  # the nearest name is offered
        (("--batch-size", "many"), "many"),
        (("surplus",), "surplus"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(monkeypatch, capsys, arguments, told):
    with pytest.raises(SystemExit) as end:
        _parse(monkeypatch, *arguments)
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert told in lines[0]
    assert "─" not in lines[0]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ((), None),
        (("--renderer", "own"), "own"),
        (("--renderer=own", "--batch-size", "3"), "own"),
        (("--renderer", "own", "--renderer", "auto"), "auto"),  # the last one counts
        (("--batch-size", "3", "--renderer"), None),
    ],
)
def test_an_option_is_found_before_the_others_are_read(monkeypatch, arguments, given):
    monkeypatch.setattr(sys, "argv", ["run_something.py", *arguments])
    assert find_given("--renderer") == given


def test_what_is_not_given_comes_from_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run_something.py", "--batch-size", "3"])
    found = parse_options(_Options, "Does something.", _Options(renderer="own"))
    assert found == _Options(batch_size=3, renderer="own")


def test_help_ends_well(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        _parse(monkeypatch, "--help")
    assert end.value.code == 0
    assert "Does something." in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("--renderer", ""), ("--renderer=",)])
def test_empty_values_are_refused(monkeypatch, arguments):
    with pytest.raises(InputError, match="--renderer has an empty value"):
        _parse(monkeypatch, *arguments)


def test_help_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "5")
    with pytest.raises(SystemExit):
        _parse(monkeypatch, "--help")
    assert "--batch-size INT" in capsys.readouterr().out
    assert os.environ["COLUMNS"] == "5"


def test_control_characters_are_spelt_out():
    assert escape_controls("a\x1b[2Jb\nc\x7f\x9b.png") == r"a\x1b[2Jb\nc\x7f\x9b.png"
    assert escape_controls("Grüße 你好 \udce9.png") == "Grüße 你好 \udce9.png"


_PRINTS = """
import sys
from utils.command_line import run_script
sys.exit(run_script(lambda: print("hello")))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        run = partial(subprocess.run, [sys.executable, "-c", _PRINTS], cwd=ROOT, env=environment)
        told = run(stdout=full, stderr=subprocess.PIPE, text=True)
        silent = run(stdout=full, stderr=full)
    assert told.returncode == silent.returncode == NO_OUTPUT
    assert told.stderr == "-c: the output cannot be written: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
def test_streams_that_are_closed(tmp_path):
    """A file that is opened then must not get what is printed."""
    file = tmp_path / "results.txt"
    code = (
        "import sys; from utils.command_line import run_script\n"
        f"sys.exit(run_script(lambda: print('hello', file=open({str(file)!r}, 'w')) or print('x')))"
    )
    command = f'"{sys.executable}" -c "$CODE" <&- >&- 2>&-'
    environment = {**os.environ, "CODE": code}
    assert subprocess.run(command, shell=True, cwd=ROOT, env=environment).returncode == 0
    assert file.read_text() == "hello\n"


def test_files_and_memory_that_fail_are_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_something.py"])
    assert run_script(Path("/no/such/file").read_bytes) == WRONG_USE
    assert capsys.readouterr().err == "run_something.py: /no/such/file: No such file or directory\n"
    assert run_script(lambda: _raise(MemoryError())) == WRONG_USE
    assert "not enough memory" in capsys.readouterr().err


def _raise(error: BaseException) -> int:
    raise error


def test_output_that_nobody_reads_and_names_that_no_terminal_shows():
    code = (
        "import sys; from utils.command_line import run_script\n"
        "def main():\n"
        "    while True: print('\\udce9' * 1000)\n"
        "sys.exit(run_script(main))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout.read(6) == b"\\udce9"
    process.stdout.close()
    assert process.wait(timeout=60) == BROKEN_PIPE
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_script_that_ends_by_itself_keeps_its_status(capsys):
    assert run_script(lambda: 3) == 3
    assert run_script(lambda: 0) == 0
    assert run_script(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


def test_what_the_user_can_mend_is_one_line_with_the_programs_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["somewhere/run_something.py"])
    error = InputError("no folder here;\ngive another")
    assert run_script(lambda: _raise(error)) == WRONG_USE == 2
    assert capsys.readouterr().err == "run_something.py: no folder here; give another\n"


def test_ctrl_c_says_how_to_go_on(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_something.py"])
    status = run_script(lambda: _raise(KeyboardInterrupt()), stopped="stopped; --resume goes on")
    assert status == STOPPED == 130
    assert capsys.readouterr().err == "run_something.py: stopped; --resume goes on\n"


def test_a_fault_of_the_programs_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 // 0)
