"""People are followed through a clip, also past each other and out of sight."""

import numpy as np

from predict.tracks import Sights, describe_colours, follow_people

FPS = 25
JOINTS = np.stack([np.linspace(-20, 20, 17), np.linspace(-80, 80, 17)], axis=1)  # of everybody
HALF = np.array([30.0, 90.0])  # of everybody's box, px
RED, BLUE = np.tile([0.8, 0.1, 0.1], 3), np.tile([0.1, 0.1, 0.8], 3)


def _sights(people: list[list[tuple]]) -> tuple[Sights, np.ndarray]:
    """From (x, y, colours) of the people of each frame, in any order; and the frames' times."""
    rows = [(frame, rank, *person)
            for frame, there in enumerate(people) for rank, person in enumerate(there)]  # fmt: skip
    places = np.array([row[2:4] for row in rows], float).reshape(-1, 2)
    sights = Sights(
        frame=np.array([row[0] for row in rows], int),
        box=np.concatenate([places - HALF, places + HALF], axis=1),
        joints2d_px=places[:, None] + JOINTS,
        joint_confidence=np.ones((len(rows), 17)),
        colours=np.array([row[4] for row in rows]).reshape(-1, 9),
        rank=np.array([row[1] for row in rows], int),
        silhouette_iou=np.full(len(rows), 0.9),
    )
    return sights, np.arange(len(people)) / FPS


def _xs(sights: Sights, rows: np.ndarray) -> list[float]:
    return (sights.box[rows, 0] + 30).tolist()


def test_nobody():
    assert follow_people(*_sights([[], [], []])) == ([], 0)


def test_people_who_pass_each_other_keep_their_tracks():
    ways = [(100 + 6 * frame, 400 - 6 * frame) for frame in range(50)]  # they meet at frame 25
    for colours in ((RED, RED), (RED, BLUE)):
        people = [[(a, 200, colours[0]), (b, 205, colours[1])] for a, b in ways]
        people = [there if frame % 2 else there[::-1] for frame, there in enumerate(people)]
        sights, times = _sights(people)
        tracks, short = follow_people(sights, times)
        assert short == 0
        assert sorted(_xs(sights, rows) for rows in tracks) == sorted(
            map(list, zip(*ways, strict=True))
        )


def test_who_is_hidden_for_a_while_is_found_again():
    ways = [(100 + 6 * frame, 400 - 6 * frame) for frame in range(50)]
    people = [[(a, 200, RED), (b, 205, BLUE)] for a, b in ways]
    for frame in range(20, 30):
        del people[frame][1]  # behind the other one
    sights, times = _sights(people)
    tracks, _ = follow_people(sights, times)
    assert [len(rows) for rows in tracks] == [50, 40]
    assert all((sights.colours[rows] == sights.colours[rows[0]]).all() for rows in tracks)


def test_after_too_long_or_too_far_it_is_somebody_else():
    people = [[(100, 200, RED)]] * 20 + [[]] * 60 + [[(100, 200, RED)]] * 20  # gone for 2.4 s
    tracks, _ = follow_people(*_sights(people))
    assert [len(rows) for rows in tracks] == [20, 20]
    people = [[(100, 200, RED)]] * 20 + [[(600, 200, RED)]] * 20
    tracks, _ = follow_people(*_sights(people))
    assert [len(rows) for rows in tracks] == [20, 20]


def test_what_is_seen_for_a_moment_is_nobody():
    people = [[(100, 200, RED)] for _ in range(40)]
    for frame in range(10, 13):
        people[frame].append((500, 100, BLUE))
    tracks, short = follow_people(*_sights(people))
    assert [len(rows) for rows in tracks] == [40]
    assert short == 1


def test_the_most_prominent_person_comes_first():
    people = [[(100, 200, RED), (400, 200, BLUE)]] * 30
    people[:5] = [there[::-1] for there in people[:5]]  # for a while the other one is
    sights, times = _sights(people)
    tracks, _ = follow_people(sights, times)
    assert _xs(sights, tracks[0])[0] == 100


def test_colours_of_head_trunk_and_legs():
    image = np.zeros((100, 40, 3), np.uint8)
    image[:20], image[20:50], image[50:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    silhouette = np.zeros((100, 40), bool)
    silhouette[:, 10:30] = True
    colours = describe_colours(image, silhouette, np.array([10.0, 0, 30, 100]))
    expected = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(colours, expected, atol=0.06)
