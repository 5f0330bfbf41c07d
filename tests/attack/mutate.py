"""Damages a valid file of every kind and reads it, again and again.

    python -m tests.attack.mutate --count 10000

A reader may read what it is given, or refuse it by an InputError of one line. Everything else is
counted as a fault, and then the exit status is 1: another exception, the end of the process (a
crash), or more than `HANG_SECONDS` for a file (a hang). The same seed makes the same files.
"""

import argparse
import contextlib
import io
import queue
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from utils.errors import InputError
from utils.paths import ROOT

HANG_SECONDS = 120
_READ, _REFUSED, _LEAKED, _CRASH, _HANG = OUTCOMES = (
    "read", "refused", "other exceptions", "crashes", "hangs"
)  # fmt: skip
_EXTREMES = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 4,
    b"\xff" * 8, b"(" * 50, b"]" * 50, b"9" * 30, b"-1", b"nan", b"\x00" * 40,
)  # fmt: skip


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """The content with up to four damages; those of a zip file's members are in valid members."""
    if content[:4] == b"PK\x03\x04" and generator.random() < 0.7:
        with contextlib.suppress(zipfile.BadZipFile):
            return _mutate_member(content, generator)
    changed = bytearray(content)
    for _ in range(generator.integers(1, 5)):
        _damage(changed, generator)
    return bytes(changed)


def _mutate_member(content: bytes, generator: np.random.Generator) -> bytes:
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(changed, "w") as target:
        members = source.infolist()
        chosen = members[generator.integers(len(members))].filename
        # What describes the others is where one byte says most.
        described = [each.filename for each in members if each.filename.endswith("data.pkl")]
        if described and generator.random() < 0.6:
            chosen = described[0]
        for member in members:
            data = bytearray(source.read(member))
            if member.filename == chosen:
                _damage(data, generator)
            target.writestr(member.filename, bytes(data), member.compress_type)
    return changed.getvalue()


def _damage(content: bytearray, generator: np.random.Generator) -> None:
    """One damage: bits, numbers, a cut, or a part that is doubled, lost or moved."""
    if not content:
        return
    # Half of them near the beginning, where headers are.
    limit = len(content) if generator.random() < 0.5 else min(len(content), 400)
    place, length = int(generator.integers(limit)), int(generator.integers(1, 40))
    extreme = _EXTREMES[generator.integers(len(_EXTREMES))]
    match generator.integers(7):
        case 0:
            content[place] ^= 1 << int(generator.integers(8))
        case 1:
            content[place] = int(generator.integers(256))
        case 2:
            content[place : place + len(extreme)] = extreme
        case 3:
            content[place:place] = extreme
        case 4:
            del content[place : place + length]
        case 5:
            content[place:place] = content[place : place + length]
        case _:
            del content[int(generator.integers(len(content))) :]


def work(start: int, stop: int, seed: int) -> None:
    """Reads the files of these numbers and prints what became of each; ends as they make it end."""
    from tests.attack.samples import make_samples

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        samples = make_samples(folder)
        for sample in samples:  # whatever happens later, whole files are read
            _write(folder, sample.name, sample.content)
            sample.read(folder / sample.name)
        for number in range(start, stop):
            sample = samples[number % len(samples)]
            content = mutate(sample.content, np.random.default_rng([seed, number]))
            path = _write(folder, sample.name, content)
            print("begin", number, sample.name, flush=True)
            print("end", _outcome(sample.read, path), flush=True)


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _outcome(read, path: Path) -> str:
    try:
        read(path)
    except InputError as error:
        return _REFUSED if len(str(error).splitlines()) == 1 else f"{_LEAKED} of several lines"
    except BaseException as error:
        return f"{_LEAKED} {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return _READ


def watch(count: int, seed: int) -> Counter:
    """Lets another process read `count` damaged files; starts it again after one that ended it.

    Returns:
        How many were read, refused, and each kind of fault; faults are printed.
    """
    outcomes, number = Counter(), 0
    while number < count:
        command = [sys.executable, "-m", "tests.attack.mutate", "--seed", str(seed)]
        command += ["--from", str(number), "--count", str(count)]
        worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        began, fault = number, None
        for line in _lines(worker):
            word, _, rest = line.partition(" ")
            if word == "begin":
                number, name = int(rest.split()[0]) + 1, rest.split()[1]
            elif word == "end":
                outcome = next(each for each in (_READ, _REFUSED, _LEAKED) if rest.startswith(each))
                outcomes[outcome] += 1
                if outcome == _LEAKED:
                    print(f"number {number - 1}, {name}: {rest}", flush=True)
            elif word == _HANG:
                fault = _HANG
        if worker.wait() and number > began:
            outcomes[fault or _CRASH] += 1
            told = f"{fault or _CRASH}, status {worker.returncode}"
            print(f"number {number - 1}, {name}: {told}", flush=True)
        elif worker.returncode:
            raise RuntimeError("no file was read")
    return outcomes


def _lines(worker: subprocess.Popen) -> Iterator[str]:
    """What a worker prints; after `HANG_SECONDS` of silence it is ended and "hangs" comes."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        with worker.stdout:
            for line in worker.stdout:
                lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=HANG_SECONDS)
        except queue.Empty:
            worker.kill()
            yield _HANG
            return
        if line is None:
            return
        yield line


def main() -> int:
    """Reads the options; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=10_000, help="damaged files in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", type=int, dest="start", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start is not None:
        work(options.start, options.count, options.seed)
        return 0
    outcomes = watch(options.count, options.seed)
    told = ", ".join(f"{outcomes[each]} {each}" for each in OUTCOMES)
    print(f"{options.count} damaged files: {told}")
    return int(any(outcomes[fault] for fault in (_LEAKED, _CRASH, _HANG)))


if __name__ == "__main__":
    sys.exit(main())
