"""Clips are read frame by frame, whatever they are, and written with their times and sound."""

import logging
import resource
from pathlib import Path

import numpy as np
import pytest

from predict.video import ClipWriter, is_clip, open_clip
from tests.clips import FPS, add_tone, numbered_frames, read_sound, split, turn, write_frames
from utils.errors import InputError
from utils.images import write_image


def _copy(source, output, times=None, sound=True):
    clip = open_clip(source)
    unfinished = output.with_name("unfinished.mp4")
    with ClipWriter(output, unfinished, (clip.width, clip.height)) as writer:
        for frame in clip.frames():
            writer.add(frame.time if times is None else times[frame.index], frame.image)
        told = writer.finish(source if sound else None)
    assert not unfinished.exists()
    return told


def test_frames_come_in_order_with_their_times(tmp_path):
    frames = numbered_frames(12)
    clip = open_clip(write_frames(tmp_path / "a.mp4", frames))
    assert (clip.width, clip.height, clip.fps, clip.count) == (64, 48, FPS, 12)
    read = list(clip.frames())
    assert [frame.index for frame in read] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in read], np.arange(12) / FPS, atol=1e-9)
    for one, frame in zip(frames, read, strict=True):
        assert np.abs(one.astype(int) - frame.image).mean() < 6  # the encoder loses a little
    later = list(clip.frames(start=7))
    assert [frame.index for frame in later] == list(range(7, 12))
    np.testing.assert_array_equal(later[0].image, read[7].image)


def test_uneven_times_are_kept(tmp_path):
    times = np.cumsum([0, 0.04, 0.02, 0.1, 0.04, 0.04, 0.2])
    source = write_frames(tmp_path / "a.mp4", numbered_frames(7))
    assert _copy(source, tmp_path / "b.mp4", times) == ""
    read = [frame.time for frame in open_clip(tmp_path / "b.mp4").frames()]
    np.testing.assert_allclose(read, times, atol=1e-4)
    assert _copy(tmp_path / "b.mp4", tmp_path / "c.mp4") == ""  # read and written once more
    read = [frame.time for frame in open_clip(tmp_path / "c.mp4").frames()]
    np.testing.assert_allclose(read, times, atol=1e-4)


def test_the_sound_is_copied_byte_by_byte(tmp_path):
    source = write_frames(tmp_path / "a.mov", numbered_frames(12))
    sound = add_tone(source)
    assert read_sound(source) == sound
    assert _copy(source, tmp_path / "b.mp4") == "with the clip's sound"
    assert read_sound(tmp_path / "b.mp4") == sound
    assert len(list(open_clip(tmp_path / "b.mp4").frames())) == 12
    _, index = split(tmp_path / "b.mp4")
    numbers = [
        int.from_bytes(track.find(b"tkhd").content[12:16], "big")
        for track in index.boxes if track.kind == b"trak"
    ]  # fmt: skip
    assert numbers == [1, 2]


def test_a_damaged_sound_is_left_out_and_told(tmp_path):
    source = write_frames(tmp_path / "a.mp4", numbered_frames(4))
    add_tone(source)
    before, index = split(source)
    track = [box for box in index.boxes if box.kind == b"trak"][1]
    track.find(b"mdia", b"minf", b"stbl", b"stco").content[8] = 0x7F  # far behind the file's end
    source.write_bytes(before + index.to_bytes())
    assert "without sound" in _copy(source, tmp_path / "b.mp4")
    assert len(list(open_clip(tmp_path / "b.mp4").frames())) == 4


@pytest.mark.parametrize(("quarters", "corner"), [(1, (0, -1)), (2, (-1, -1)), (3, (-1, 0))])
def test_pictures_of_turned_phones_are_upright(tmp_path, quarters, corner):
    path = turn(write_frames(tmp_path / "a.mp4", numbered_frames(3)), quarters)
    clip = open_clip(path)
    assert (clip.width, clip.height) == ((64, 48) if quarters == 2 else (48, 64))
    image = next(clip.frames()).image
    assert image.shape == (clip.height, clip.width, 3)
    assert image[corner].min() > 200  # where the bright corner is then
    assert image[-1 - corner[0], -1 - corner[1]].max() < 100


def test_a_cut_off_clip_gives_what_is_left_and_says_so(tmp_path, caplog):
    path = write_frames(tmp_path / "a.mp4", numbered_frames(40, 240, 320))
    before, index = split(path)
    # The index first, as in files for the web; its places move with the rest.
    size = len(index.to_bytes())
    table = index.find(b"trak", b"mdia", b"minf", b"stbl", b"stco")
    places = np.frombuffer(table.content, ">u4").astype(np.int64)
    places[2:] += size
    table.content = bytearray(places.astype(">u4").tobytes())
    head = before[: before.index(b"mdat") - 4]
    content = head + index.to_bytes() + before[len(head) :]
    path.write_bytes(content)
    assert len(list(open_clip(path).frames())) == 40
    assert not caplog.records
    path.write_bytes(content[: len(content) * 6 // 10])
    with caplog.at_level(logging.WARNING):
        count = len(list(open_clip(path).frames()))
    assert 5 < count < 39
    assert f"cut off or damaged: {count} of 40 frames" in caplog.text


def _only_sound(path):
    write_frames(path, numbered_frames(3))
    add_tone(path)
    before, index = split(path)
    index.boxes = [box for box in index.boxes if box.kind != b"trak" or box.find(
        b"mdia", b"hdlr").content[8:12] == b"soun"]  # fmt: skip
    path.write_bytes(before + index.to_bytes())


def _no_index(path):
    path.write_bytes(split(write_frames(path, numbered_frames(3)))[0])


def _no_frames(path):
    before, index = split(write_frames(path, numbered_frames(3)))
    table = index.find(b"trak", b"mdia", b"minf", b"stbl")
    for kind, content in ((b"stsz", 12), (b"stts", 8), (b"stsc", 8), (b"stco", 8)):
        table.find(kind).content = bytearray(content)
    path.write_bytes(before + index.to_bytes())


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"no clip at all" * 99), "cannot be decoded as a video"),
        (lambda path: path.symlink_to("nowhere"), "a link to a file that is not there"),
        (lambda path: None, "is not there"),
        (_only_sound, "has sound but no pictures"),
        (_no_index, "not written to its end"),
        (_no_frames, "no frame that can be decoded"),
    ],
)
def test_what_is_no_clip_is_one_line(tmp_path, make, expected, capfd):
    path = tmp_path / "a.mp4"
    make(path)
    capfd.readouterr()
    with pytest.raises(InputError, match=expected) as caught:
        open_clip(path)
    assert "\n" not in str(caught.value)
    printed = capfd.readouterr()
    assert printed.err == printed.out == ""  # decoders have their own opinions


def test_a_folder_of_frames_is_a_clip(tmp_path):
    frames = numbered_frames(5)
    for number, frame in enumerate(frames):
        write_image(tmp_path / f"{number:03d}.png", frame)
    clip = open_clip(tmp_path, fps=10)
    read = list(clip.frames(start=2))
    assert [(frame.index, frame.time) for frame in read] == [(2, 0.2), (3, 0.3), (4, 0.4)]
    np.testing.assert_array_equal(read[0].image, frames[2])
    write_image(tmp_path / "9.png", frames[0][:-2])
    with pytest.raises(InputError, match="frames of a clip must have one size"):
        list(open_clip(tmp_path).frames())


def test_names():
    assert is_clip(Path("a.MP4"))
    assert not is_clip(Path("a.png"))


def test_memory_does_not_grow_with_length(tmp_path):
    path = write_frames(tmp_path / "a.mp4", numbered_frames(200, 360, 480))
    clip = open_clip(path)
    for frame in clip.frames():
        if frame.index == 20:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000  # KB; 180 frames have 93 MB
