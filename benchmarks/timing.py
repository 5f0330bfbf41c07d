"""What the benchmarks share: timing things in turns, naming the machine, writing JSON."""

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from utils.files import write_whole


class Timing(NamedTuple):
    """How long something took, in seconds; on a shared machine the best tells most."""

    best: float
    median: float


def time_in_turns(
    stages: dict[str, Callable[[], Any]], rounds: int, device: torch.device
) -> dict[str, Timing]:
    """Times each stage once a round, so that other programs on the machine disturb all alike.

    Args:
        stages: by name; each is called once before, to compile and allocate.
        rounds: how often each is timed.
        device: whose unfinished work counts too.
    """
    for stage in stages.values():
        stage()
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, stage in stages.items():
            seconds[name].append(seconds_of(stage, device))
    return {name: Timing(min(each), statistics.median(each)) for name, each in seconds.items()}


def seconds_of(stage: Callable[[], Any], device: torch.device) -> float:
    """How long a call takes, the device's unfinished work included."""
    _wait_for(device)
    start = time.perf_counter()
    stage()
    _wait_for(device)
    return time.perf_counter() - start


def machine(device: torch.device) -> dict[str, Any]:
    """What a measurement ran on."""
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {
        "device": named,
        "cpu_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def cpu_name() -> str:
    """The processor's own name where Linux tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'CPU'} ({platform.machine()})"


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Writes a benchmark's results, if a file was asked for."""
    if path is not None:
        write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
