"""The open benchmark: the same files every time, completed or made anew, and its proxies."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

import evaluate.open_benchmark
from data.strangers import read_strangers
from data.truth import read_truth, truth_path
from evaluate.open_benchmark import (
    BenchmarkOptions,
    build_benchmark,
    count_missing,
    make_manifest,
    synthesise_people,
    write_manifest,
)
from synthesis.options import AugmentationOptions
from tests.evaluation_sets import upright_pose
from utils.errors import InputError
from utils.images import read_image
from utils.paths import STRANGERS
from utils.signals import end_with_parent


@pytest.fixture
def two(small_pictures) -> BenchmarkOptions:
    """Two people, quickly rendered."""
    return BenchmarkOptions(count=2, picture=small_pictures)


def _contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_builds_are_identical(tmp_path, two):
    done = []
    photos = build_benchmark(tmp_path / "a", two, progress=lambda: done.append(1))
    build_benchmark(tmp_path / "b", two)
    assert len(done) == 2
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")
    assert sorted(_contents(tmp_path / "a")) == [
        "manifest.json", "person_0000.jpg", "person_0000_truth.npz", "person_0001.jpg",
        "person_0001_truth.npz",
    ]  # fmt: skip
    assert read_image(photos[1]).shape == (120, 96, 3)
    truths = [read_truth(truth_path(photo)) for photo in photos]
    assert not torch.equal(truths[0].betas, truths[1].betas)
    assert {truth.body for truth in truths} == {"open"}


def test_only_what_is_missing_is_made(tmp_path, two):
    build_benchmark(tmp_path, two)
    before = _contents(tmp_path)
    assert count_missing(tmp_path, two) == 0
    build_benchmark(tmp_path, two, progress=lambda: pytest.fail("nothing was missing"))
    (tmp_path / "person_0000.jpg").unlink()
    (tmp_path / "person_0001_truth.npz").unlink()
    assert count_missing(tmp_path, two) == 2
    assert count_missing(tmp_path, replace(two, count=5)) == 5
    build_benchmark(tmp_path, two)
    assert _contents(tmp_path) == before


def test_a_larger_benchmark_begins_with_the_smaller(tmp_path, two):
    build_benchmark(tmp_path, two)
    before = _contents(tmp_path)
    photos = build_benchmark(tmp_path, replace(two, count=3))
    assert len(photos) == 3
    assert _contents(tmp_path).items() >= before.items()
    assert build_benchmark(tmp_path, two) == photos[:2]


def test_another_seed_or_version_is_made_anew(tmp_path, two):
    build_benchmark(tmp_path, two)
    before = _contents(tmp_path)
    one = replace(two, count=1, seed=1)
    assert count_missing(tmp_path, one) == 1
    build_benchmark(tmp_path, one)
    after = _contents(tmp_path)
    assert sorted(after) == ["manifest.json", "person_0000.jpg", "person_0000_truth.npz"]
    assert after["person_0000.jpg"] != before["person_0000.jpg"]
    assert count_missing(tmp_path, one) == 0
    write_manifest(tmp_path, {**make_manifest(one), "version": 0})
    assert count_missing(tmp_path, one) == 1


def test_processes_make_the_same_people(tmp_path, two, monkeypatch):
    """In threads, which start quickly; what processes are sent must be picklable."""
    sent = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers, mp_context, initializer):
            assert mp_context.get_start_method() == "spawn"
            assert initializer is end_with_parent
            super().__init__(workers)

        def map(self, function, *iterables):
            sent.append(pickle.dumps(function))
            return super().map(function, *iterables)

    monkeypatch.setattr(evaluate.open_benchmark, "ProcessPoolExecutor", Pool)
    made = []
    build_benchmark(tmp_path / "a", two, workers=2, progress=lambda: made.append(1))
    build_benchmark(tmp_path / "b", two)
    assert (len(made), len(sent)) == (2, 1)
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")


def test_what_it_refuses(tmp_path, two):
    with pytest.raises(InputError, match="count is 0; expected 1 to 1000"):
        build_benchmark(tmp_path, BenchmarkOptions(count=0))
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(InputError, match="holds other files than a benchmark"):
        build_benchmark(tmp_path, two)
    assert (tmp_path / "holiday.jpg").exists()


@pytest.mark.parametrize("manifest", ["{", '{"name": "my web page"}', "[" * 10_000, "7"])
def test_files_of_others_are_left_alone(tmp_path, two, manifest):
    """Their own manifest.json makes no folder of photos a benchmark."""
    names = ("person_0000.jpg", "person_2024_holiday.jpg", "person_0001_truth.npz")
    for name in names:
        (tmp_path / name).write_text("the user's")
    (tmp_path / "manifest.json").write_text(manifest)
    for refused in (build_benchmark, count_missing):
        with pytest.raises(InputError, match="holds other files than a benchmark"):
            refused(tmp_path, two)
    assert _contents(tmp_path) == {
        **dict.fromkeys(names, b"the user's"), "manifest.json": manifest.encode()
    }  # fmt: skip


def test_files_of_others_in_a_benchmark_survive_it(tmp_path, two):
    build_benchmark(tmp_path, two)
    theirs = ("person_2024_holiday.jpg", "person_0000_truth.npz.bak", "my_person_0000.jpg")
    for name in theirs:
        (tmp_path / name).write_text("the user's")
    build_benchmark(tmp_path, replace(two, seed=1))
    assert _contents(tmp_path).items() >= dict.fromkeys(theirs, b"the user's").items()


def test_the_manifest_names_what_pictures_depend_on(two):
    manifest = make_manifest(BenchmarkOptions())
    names = {"version", "seed", "betas_std", "picture", "body_hash", "poses_hash"}
    assert manifest.keys() == names
    assert manifest["picture"] == [640, 800]
    effort = {"sky_directions": 6, "main_directions": 2, "map_size": 128}
    assert make_manifest(two) == {**manifest, "picture": [96, 120], **effort}
    json.dumps(manifest)


def test_strangers_are_photographed_with_their_own_bodies(tmp_path, small_pictures):
    people = BenchmarkOptions(count=1, picture=small_pictures, strangers=STRANGERS)
    (photo,) = build_benchmark(tmp_path, people)
    truth, strangers = read_truth(truth_path(photo)), read_strangers()
    np.testing.assert_array_equal(truth.betas, strangers.betas[0])
    np.testing.assert_array_equal(truth.offsets, strangers.offsets[0])
    assert "strangers_hash" in make_manifest(people)
    assert make_manifest(people) != make_manifest(replace(people, strangers=None))
    with pytest.raises(InputError, match="count is 201; expected 1 to 200 people"):
        build_benchmark(tmp_path, replace(people, count=201))


def _people(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    poses = torch.from_numpy(np.stack([upright_pose(0.1 * index) for index in range(count)]))
    return poses, torch.randn(count, 10, generator=torch.Generator().manual_seed(0))


def test_proxies_without_and_with_corruption():
    poses, betas = _people(3)
    (perfect,) = synthesise_people(poses, betas, 64, None, 0)
    assert torch.equal(perfect.observation.silhouettes, perfect.target["silhouettes"])
    assert torch.equal(perfect.target["betas"][:, :10], betas)
    augmentation = AugmentationOptions()
    (corrupted,) = synthesise_people(poses, betas, 64, augmentation, 0)
    (again,) = synthesise_people(poses, betas, 64, augmentation, 0)
    (other,) = synthesise_people(poses, betas, 64, augmentation, 1)
    assert torch.equal(corrupted.observation.proxy(), again.observation.proxy())
    assert not torch.equal(corrupted.observation.proxy(), other.observation.proxy())
    assert torch.equal(corrupted.target["betas"][:, :10], betas)


def test_the_view_does_not_depend_on_the_size():
    poses, betas = _people(3)
    small, large = (
        next(iter(synthesise_people(poses, betas, size, AugmentationOptions(), 0)))
        for size in (64, 256)
    )
    torch.testing.assert_close(
        4 * small.target["joints2d_px"], large.target["joints2d_px"], atol=1e-2, rtol=0
    )


def test_batches_follow_one_another():
    poses, betas = _people(5)
    batches = list(synthesise_people(poses, betas, 64, AugmentationOptions(), 0, batch_size=2))
    assert [len(batch.observation.silhouettes) for batch in batches] == [2, 2, 1]
    found = torch.cat([batch.target["betas"] for batch in batches])
    assert torch.equal(found[:, :10], betas)
