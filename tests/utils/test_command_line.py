import sys
from dataclasses import dataclass

import pytest

from utils.command_line import parse_options


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


def test_help_ends_well(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        _parse(monkeypatch, "--help")
    assert end.value.code == 0
    assert "Does something." in capsys.readouterr().out
