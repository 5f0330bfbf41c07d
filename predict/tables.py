"""results.csv and results.json: everybody who was predicted in a folder, and what was skipped.

A row is appended to results.csv as soon as a photo's files are written, so that it holds all that
is done, however the run ends. results.json says the same; it is written whole, from time to time
and at the end. Of several processes each has a part of results.csv of its own until the end.
"""

import contextlib
import csv
import io
import json
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from metrics.measurements import Measurements
from predict.people import Photo
from predict.records import SOURCE_WORDS, PersonRecord, ResultSource, read_record
from predict.results import PhotoResult, make_person_names
from utils.command_line import escape_controls
from utils.conventions import NUM_BETAS
from utils.errors import InputError, Skipped
from utils.files import write_whole
from utils.readers import open_file, reading
from utils.signals import finishing

log = logging.getLogger(__name__)

CSV_NAME, JSON_NAME = "results.csv", "results.json"
PARTS = "results.part*.csv"  # of the processes but the first
BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
BETAS = tuple(f"beta_{number}" for number in range(NUM_BETAS))  # npz files may hold more
_FIRST = ("file", "person", "name", "reason")
_SIZE = ("image_width", "image_height")
_FLOATS = (*BOX, "silhouette_iou", *Measurements._fields, *BETAS)
COLUMNS = (*_FIRST, *_SIZE, *_FLOATS, *SOURCE_WORDS)
_JSON_START = '{"format": '
_ADVICE = "move it away, or choose another folder with --output"
WRITING_SHARE = 0.01  # of the time, at most, is spent on writing results.json
LEAST_SECONDS = 1.0  # between two times that it is written

Rows = dict[str, str]  # the lines of results.csv by photo


class ResultTables:
    """Both tables of a folder of results, while a run adds to them.

    Rows that are there stay: those of photos that are made again until they are replaced, and those
    of photos that are not part of this run.

    Args:
        output: an existing folder.
        rank: which of several processes this is; the first one writes results.json.

    Raises:
        InputError: a file in the folder has a table's name and is none.
    """

    def __init__(self, output: Path, rank: int = 0) -> None:
        """Reads what is there."""
        self._output, self._rank = output, rank
        self._csv = output / (PARTS.replace("*", str(rank)) if rank else CSV_NAME)
        self._there = read_rows(output)  # of earlier runs
        _check_json(output / JSON_NAME)
        self.rows: Rows = {}  # of this run in this process
        self._source: ResultSource | None = None
        self._next_json = 0.0  # by the monotonic clock
        self._failed = False

    def start(
        self, source: ResultSource, new: Iterable[Photo], left: Sequence[Photo], numbered: bool
    ) -> None:
        """Writes the rows that stay.

        Args:
            source: what predicts.
            new: photos of this process that are predicted now.
            left: those that are left out since their results are there.
            numbered: whether people have numbers.

        Raises:
            InputError: the folder cannot be written.
        """
        self._source = source
        for photo in left:
            file = _spell(photo.file)
            if not _list_names(self._there.get(file, "")):
                self.rows[file] = _recall(photo, self._output, numbered)
        if self._rank:  # the first process keeps what the others' parts do not
            self._there = _read_table(self._csv) if self._csv.is_file() else {}
        for file in (*(_spell(photo.file) for photo in new), *self.rows):
            self._there.pop(file, None)
        write_whole(self._csv, _encode([_HEADER, *self._there.values(), *self.rows.values()]))

    def add(self, result: PhotoResult | Skipped) -> None:
        """Appends the rows of a photo whose files are written, or that was skipped."""
        lines = _format_result(result, self._source)
        self.rows[_spell(result.name)] = lines
        try:
            # Opened each time: another process may have put another file in its place.
            with finishing(), self._csv.open("ab", buffering=0) as file:
                file.write(_encode([lines]))
        except OSError as error:
            if not self._failed:  # once: a full disk is full for the next photo too
                log.warning("cannot write %s: %s", self._csv, error.strerror or error)
            self._failed = True
        if self._rank == 0 and time.monotonic() >= self._next_json:
            with contextlib.suppress(InputError):  # `finish` says it
                self._write_json({**self._there, **self.rows})

    def finish(self, all_rows: Sequence[Rows]) -> None:
        """Writes both tables, sorted by photo; called in the first process alone, after all others.

        Args:
            all_rows: `rows` of all processes.

        Raises:
            InputError: they cannot be written.
        """
        parts = list(self._output.glob(PARTS))
        new: Rows = {}
        for each in all_rows:
            new.update(each)
        names = {name for lines in new.values() for name in _list_names(lines)}
        rows = {  # also of whoever else writes into this folder, but of no files replaced by now
            file: lines
            for file, lines in read_rows(self._output).items()
            if not names.intersection(_list_names(lines))
        }
        rows = dict(sorted({**rows, **new}.items()))
        write_whole(self._csv, _encode([_HEADER, *rows.values()]))
        self._write_json(rows)
        for part in parts:
            part.unlink(missing_ok=True)

    def _write_json(self, rows: Rows) -> None:
        start = time.monotonic()
        text = format_json(rows.values(), self._source)
        write_whole(self._output / JSON_NAME, text.encode())
        end = time.monotonic()
        self._next_json = end + max(LEAST_SECONDS, (end - start) / WRITING_SHARE)


def read_rows(output: Path) -> Rows:
    """The rows of a folder's results.csv and of its parts.

    Lines that are cut off, as where the machine went down, are left out with a word.

    Raises:
        InputError: results.csv or a part cannot be read, or is a table of something else.
    """
    rows: Rows = {}
    for path in (output / CSV_NAME, *sorted(output.glob(PARTS))):
        if path.is_file():
            rows.update(_read_table(path))
    return rows


def _read_table(path: Path) -> Rows:
    with reading(path, "table of results", _ADVICE), open_file(path) as file:
        header, *lines = file.read().decode("utf-8").splitlines(keepends=True) or [_HEADER]
    if not header.startswith(",".join(_FIRST)):
        raise InputError(
            f"{path} is not a table of run_predict.py: it begins with "
            f"{escape_controls(header)[:60]!r}; {_ADVICE}"
        )
    columns = header.rstrip("\n").split(",")
    dropped = [column for column in columns if column not in COLUMNS]
    if dropped and lines:
        names = escape_controls(", ".join(dropped))
        log.warning("%s: this version has no %s; left out", path, names)
    rows: Rows = {}
    lost = 0
    for line in lines:
        cells = _parse(line, columns)
        # Several lines for several people. Those from another person 1 on replace the ones before.
        first = cells is not None and cells["person"] in ("", "1")
        if cells is None or not (first or cells["file"] in rows):
            lost += 1
            continue
        line = line if header == _HEADER else _format_line(cells)
        rows[cells["file"]] = line if first else rows[cells["file"]] + line
    if lost:
        log.warning("%s: %d damaged lines are left out", path, lost)
    return rows


def _list_names(lines: str) -> list[str]:
    """What the files of a photo's people begin with; empty where it was skipped."""
    cells = (_parse(line) for line in lines.splitlines(keepends=True))
    return [each["name"] for each in cells if each["name"]]


def _check_json(path: Path) -> None:
    """Raises InputError where a file of this name was not written by this program."""
    if not path.is_file():
        return
    with reading(path, "file", _ADVICE), open_file(path) as file:
        start = file.read(len(_JSON_START))
    if start != _JSON_START.encode():
        raise InputError(f"{path} was not written by run_predict.py; {_ADVICE}")


def _parse(line: str, columns: Sequence[str] = COLUMNS) -> dict[str, str] | None:
    """The cells of a line by `COLUMNS`; None where it is not a whole line of numbers and names.

    Args:
        line: with its end.
        columns: of the table; those of another version may be others.
    """
    if not line.endswith("\n"):
        return None
    try:
        found = dict(zip(columns, next(csv.reader([line])), strict=True))
        cells = {column: found.get(column, "") for column in COLUMNS}
        for column in _FLOATS:
            float(cells[column] or 0)
        for column in ("person", *_SIZE):
            int(cells[column] or 0)
    except (ValueError, csv.Error, StopIteration):
        return None
    return cells


def _format_result(result: PhotoResult | Skipped, source: ResultSource) -> str:
    """The lines of a photo."""
    words = {word: getattr(source, word) for word in SOURCE_WORDS}
    if isinstance(result, Skipped):
        return _format_line({"file": result.name, "reason": result.reason, **words})
    return "".join(_format_person(record, words) for record in result.records)


def _format_person(record: PersonRecord, words: Mapping[str, str]) -> str:
    numbers = {
        **dict(zip(BOX, record.box, strict=True)),
        "silhouette_iou": record.silhouette_iou,
        **{name: record.measurements.get(name, math.nan) for name in Measurements._fields},
        **dict(zip(BETAS, record.betas[: len(BETAS)], strict=True)),
    }
    cells = {
        "file": record.file,
        "name": record.name,
        "person": str(record.person),
        **dict(zip(_SIZE, map(str, record.image_size), strict=True)),
        **{name: f"{each:.6g}" if math.isfinite(each) else "" for name, each in numbers.items()},
    }
    return _format_line({**cells, **words})


def _format_line(cells: Mapping[str, str]) -> str:
    """One line, whatever is in the cells, of text that is UTF-8."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(_spell(cells.get(each, "")) for each in COLUMNS)
    return line.getvalue()


def _spell(text: str) -> str:
    """Text with control characters, and bytes that are no text, spelt out."""
    return escape_controls(text).encode("utf-8", "backslashreplace").decode()


def _recall(photo: Photo, output: Path, numbered: bool) -> str:
    """The lines of a photo whose results are there and not in the table, out of these results."""
    count = 1
    if numbered:
        while (output / f"{photo.name}_{count + 1}.npz").is_file():
            count += 1
    lines = []
    for name in make_person_names(photo.name, count, numbered):
        try:
            record, words = read_record(output / f"{name}.npz", photo.file)
        except InputError as error:
            reason = f"{error}; delete it to have it made again"
            log.warning("%s", escape_controls(reason))
            return _format_line({"file": photo.file, "reason": reason})
        lines.append(_format_person(record, words))
    return "".join(lines)


def format_json(rows: Iterable[str], source: ResultSource) -> str:
    """results.json, a person a line.

    Args:
        rows: lines of results.csv.
        source: what predicts; people that something else predicted say so themselves.
    """
    cells = [_parse(line) for lines in rows for line in lines.splitlines(keepends=True)]
    people = [_describe_person(each, source) for each in cells if each["person"]]
    skipped = [
        {"file": each["file"], "reason": each["reason"]} for each in cells if not each["person"]
    ]
    about = {
        "format": 1,
        **{name: getattr(source, name) for name in ("body", "gender", "body_hash")},
        "checkpoint": {"name": source.checkpoint, "hash": source.checkpoint_hash},
        "detector": source.detector,
        "rounds": source.rounds,
    }
    pieces = [json.dumps(about)[:-1]]
    for name, entries in (("people", people), ("skipped", skipped)):
        lines = ",\n".join(json.dumps(entry) for entry in entries)
        pieces.append(f',\n"{name}": [\n{lines}\n]')
    return "".join(pieces) + "}\n"


def _describe_person(cells: Mapping[str, str], source: ResultSource) -> dict:
    def numbers(names: Iterable[str]) -> Iterator[float | None]:
        return (float(cells[name]) if cells[name] else None for name in names)

    sizes = zip(Measurements._fields, numbers(Measurements._fields), strict=True)
    other = {word: cells[word] for word in SOURCE_WORDS if cells[word] != getattr(source, word)}
    return {
        "file": cells["file"],
        "person": int(cells["person"]),
        "name": cells["name"],
        "box": list(numbers(BOX)),
        "measurements": dict(sizes),
        "betas": list(numbers(BETAS)),
        "silhouette_iou": next(numbers(["silhouette_iou"])),
        "image_size": [int(cells[side]) for side in _SIZE],
        **({"source": other} if other else {}),
    }


def _encode(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode()


_HEADER = ",".join(COLUMNS) + "\n"
