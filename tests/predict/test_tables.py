"""The tables of a folder hold everybody once, whichever way runs end and go on."""

import csv
import json
from pathlib import Path

import pytest

from predict.people import Photo
from predict.records import ResultSource, describe_person, save_person
from predict.results import PhotoResult, make_person_names
from predict.tables import COLUMNS, CSV_NAME, JSON_NAME, ResultTables
from tests.predict.test_records import SIZES, make_person, make_source
from utils.errors import InputError, Skipped


def _photo(file: str) -> Photo:
    return Photo(Path("photos") / file, Path(file).stem)


def _result(
    output: Path, file: str, people: int = 1, iou: float = 0.75, source: ResultSource | None = None
) -> PhotoResult:
    """A photo whose npz files are written."""
    records = []
    numbered = people > 1
    for number, name in enumerate(make_person_names(Path(file).stem, people, numbered), start=1):
        person = make_person()
        record = describe_person(file, number, name, person, SIZES)._replace(silhouette_iou=iou)
        save_person(output / f"{name}.npz", person, record, source or make_source())
        records.append(record)
    return PhotoResult(file, [SIZES] * people, [iou] * people, None, tuple(records))


def _start(output: Path, new: str, left: str = "", rank: int = 0, **source) -> ResultTables:
    tables = ResultTables(output, rank)
    photos = [[_photo(f"{stem}.jpg") for stem in stems] for stems in (new, left)]
    tables.start(make_source(**source), *photos, numbered=False)
    return tables


def _read(output: Path) -> list[tuple[str, str, str]]:
    with (output / CSV_NAME).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(len(row) == len(COLUMNS) for row in rows)
    return [(row["file"], row["person"], row["silhouette_iou"]) for row in rows]


def test_a_row_a_person_is_there_at_once(tmp_path):
    tables = _start(tmp_path, "bac")
    tables.add(_result(tmp_path, "b.jpg", people=2))
    assert _read(tmp_path) == [("b.jpg", "1", "0.75"), ("b.jpg", "2", "0.75")]
    assert len(json.loads((tmp_path / JSON_NAME).read_text())["people"]) == 2
    tables.add(Skipped("a.jpg", "photos/a.jpg: no person, found"))
    tables.add(_result(tmp_path, "c.jpg", iou=float("nan")))
    rows = [("a.jpg", "", ""), ("b.jpg", "1", "0.75"), ("b.jpg", "2", "0.75"), ("c.jpg", "1", "")]
    assert sorted(_read(tmp_path)) == rows
    tables.finish([tables.rows])
    assert _read(tmp_path) == rows
    table = json.loads((tmp_path / JSON_NAME).read_text())
    people, skipped = table.pop("people"), table.pop("skipped")
    assert table == {
        "format": 1, "body": "open", "gender": "female", "body_hash": "b0d1",
        "checkpoint": {"name": "best.tar", "hash": "c4ec"}, "detector": "maskrcnn", "rounds": 4,
    }  # fmt: skip
    assert skipped == [{"file": "a.jpg", "reason": "photos/a.jpg: no person, found"}]
    assert people[1] == {
        "file": "b.jpg", "person": 2, "name": "b_2", "box": [1, 0, 5.5, 4],
        "measurements": SIZES._asdict(), "betas": list(range(10)), "silhouette_iou": 0.75,
        "image_size": [6, 4],
    }  # fmt: skip
    assert people[2]["silhouette_iou"] is None


def test_a_run_that_goes_on_completes_the_tables(tmp_path):
    """Photo a has its row, b's was cut off, c's files were written and nothing else."""
    tables = _start(tmp_path, "abcd")
    tables.add(_result(tmp_path, "a.jpg"))
    tables.add(_result(tmp_path, "b.jpg"))
    _result(tmp_path, "c.jpg")
    content = (tmp_path / CSV_NAME).read_bytes()
    (tmp_path / CSV_NAME).write_bytes(content[:-40])
    tables = _start(tmp_path, "d", left="abc", checkpoint_hash="another")
    tables.add(_result(tmp_path, "d.jpg", iou=0.5))
    tables.finish([tables.rows])
    rows = [(f"{stem}.jpg", "1", "0.75") for stem in "abc"] + [("d.jpg", "1", "0.5")]
    assert _read(tmp_path) == rows
    people = json.loads((tmp_path / JSON_NAME).read_text())["people"]
    other = {"checkpoint_hash": "c4ec"}
    assert [person.get("source") for person in people] == [other, other, other, None]


def test_rows_of_photos_made_again_are_replaced(tmp_path):
    tables = _start(tmp_path, "ab")
    tables.add(_result(tmp_path, "a.jpg", people=2))
    tables.add(_result(tmp_path, "b.jpg"))
    tables.finish([tables.rows])
    tables = _start(tmp_path, "a")
    assert _read(tmp_path) == [("b.jpg", "1", "0.75")]
    tables.add(_result(tmp_path, "a.jpg", iou=0.5))
    tables.finish([tables.rows])
    assert _read(tmp_path) == [("a.jpg", "1", "0.5"), ("b.jpg", "1", "0.75")]
    # Another photo whose files have the same names.
    tables = ResultTables(tmp_path)
    tables.start(make_source(), [_photo("b.png")], [], numbered=False)
    tables.add(_result(tmp_path, "b.png", iou=0.25))
    tables.finish([tables.rows])
    assert _read(tmp_path) == [("a.jpg", "1", "0.5"), ("b.png", "1", "0.25")]


def test_results_that_cannot_be_read_are_told(tmp_path, caplog):
    (tmp_path / "a.npz").write_text("no npz")
    tables = _start(tmp_path, "", left="a")
    tables.finish([tables.rows])
    (skipped,) = json.loads((tmp_path / JSON_NAME).read_text())["skipped"]
    assert skipped["reason"].endswith("delete it to have it made again")
    assert "a.npz" in caplog.text
    _result(tmp_path, "a.jpg")
    tables = _start(tmp_path, "", left="a")
    tables.finish([tables.rows])
    assert _read(tmp_path) == [("a.jpg", "1", "0.75")]


def test_processes_have_a_part_each_until_the_end(tmp_path):
    """The run before was killed; now the photos fall to other processes, fewer of them."""
    for rank, stem in enumerate("abc"):
        _start(tmp_path, stem, rank=rank).add(_result(tmp_path, f"{stem}.jpg", iou=0.25))
    assert len(list(tmp_path.glob("results.part*.csv"))) == 2
    ranks = [_start(tmp_path, "b", rank=0), _start(tmp_path, "d", left="a", rank=1)]
    ranks[0].add(_result(tmp_path, "b.jpg"))
    ranks[1].add(_result(tmp_path, "d.jpg"))
    ranks[0].finish([tables.rows for tables in ranks])
    rows = [("a.jpg", "0.25"), ("b.jpg", "0.75"), ("c.jpg", "0.25"), ("d.jpg", "0.75")]
    assert [(file, iou) for file, _, iou in _read(tmp_path)] == rows
    assert len(json.loads((tmp_path / JSON_NAME).read_text())["people"]) == 4
    assert not list(tmp_path.glob("results.part*"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CSV_NAME, b"file,score\na,1\n"),
        (CSV_NAME, b"\xff\xfe\x00"),
        ("results.part1.csv", b"mine"),
        (JSON_NAME, b'{"mine": 1}'),
    ],
)
def test_a_table_of_something_else_is_never_replaced(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} .*move it away"):
        ResultTables(tmp_path)
    assert (tmp_path / name).read_bytes() == content


def test_a_table_of_another_version_is_taken_over(tmp_path, caplog):
    old = "file,person,name,reason,image_width,image_height,height_m,shoe\n"
    (tmp_path / CSV_NAME).write_text(old + "a.jpg,1,a,,6,4,1.8,43\nb.jpg,,,nobody,,,,\n")
    tables = _start(tmp_path, "c")
    assert "has no shoe" in caplog.text
    tables.add(_result(tmp_path, "c.jpg"))
    assert [row[:2] for row in _read(tmp_path)] == [("a.jpg", "1"), ("b.jpg", ""), ("c.jpg", "1")]
    person, _ = json.loads((tmp_path / JSON_NAME).read_text())["people"]
    assert person["measurements"]["height_m"] == 1.8
    assert person["measurements"]["waist_m"] is None
    assert person["box"] == [None] * 4


def test_awkward_names_keep_the_table_whole(tmp_path):
    names = ["a,b.jpg", 'a"b.jpg', "a\nb.jpg", "a\u2028b.jpg", "a\udcffb.jpg", "=1+1.jpg"]
    tables = ResultTables(tmp_path)
    photos = [_photo(name) for name in names]
    tables.start(make_source(), photos, [], numbered=False)
    for name in names:
        tables.add(Skipped(name, f"{name}: no person found"))
    tables.finish([tables.rows])
    assert len(_read(tmp_path)) == len(names)
    assert len(json.loads((tmp_path / JSON_NAME).read_text())["skipped"]) == len(names)


def test_a_disk_that_is_full_is_told_once_and_stops_nothing(tmp_path, caplog):
    tables = _start(tmp_path, "ab")
    (tmp_path / CSV_NAME).unlink()
    (tmp_path / CSV_NAME).mkdir()
    for stem in "ab":
        tables.add(Skipped(f"{stem}.jpg", "no person found"))
    assert caplog.text.count("cannot write") == 1


def test_thousands_of_photos_cost_no_more_each(tmp_path, monkeypatch):
    """Whole tables are written a few times only, however many photos there are."""
    writes = []
    original = ResultTables._write_json
    monkeypatch.setattr(
        ResultTables, "_write_json", lambda *given: writes.append(1) or original(*given)
    )
    tables = _start(tmp_path, "")
    (record,) = _result(tmp_path, "a.jpg").records
    for number in range(2000):
        one = record._replace(file=f"{number}.jpg", name=str(number))
        tables.add(PhotoResult(one.file, [], [], None, (one,)))
    assert len(writes) < 20
    tables.finish([tables.rows])
    assert len(_read(tmp_path)) == 2000
