"""Clips of rendered people in a place, with the truth of every frame: to test and measure videos.

People walk and move by formulas, so that nothing has to be brought; any other motion will do. The
background is drawn once and the light is coarse, which makes a frame some ten times faster than a
photo.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation, Slerp

from models.body_model import BodyModel
from scenes.clothing import Marks
from scenes.lighting import ShadowMaps
from scenes.people import PEOPLE, Person, Turns, build_pose
from scenes.photograph import (
    CAMERA_HEIGHT,
    Camera,
    Figure,
    develop,
    draw_background,
    draw_mesh,
    dress,
)
from scenes.picture_options import PictureOptions
from scenes.scenery import PLACES
from utils.joints import SMPL_JOINTS

CLIP_PICTURE = PictureOptions(960, 540, 1, sky_directions=6, main_directions=2, map_size=128)
FIELD_OF_VIEW = 53.0  # degrees, of the picture's longer side
WINDOW_MARGIN = 12  # px around a person that is drawn
WALKING_SPEED = 1.25  # m/s
STEPS = 0.95  # double steps a second
KEY_SECONDS = 0.8  # from one pose to the next one


@dataclass(frozen=True)
class Actor:
    """Somebody in a clip.

    Attributes:
        person: whose clothes are worn.
        betas: (10,) float32.
        poses: (T, 24, 3, 3) joint rotations in the frame of a level camera.
        places: (T, 2) of the pelvis on the ground: metres to the right and away from the camera.
    """

    person: Person
    betas: np.ndarray
    poses: torch.Tensor
    places: np.ndarray


class TrueFrame(NamedTuple):
    """A person in a frame as they truly are."""

    betas: np.ndarray  # (10,)
    pose_rotmats: torch.Tensor  # (24, 3, 3) root in the camera frame
    cam_t: np.ndarray  # (3,) metres


@dataclass(frozen=True)
class ClipScene:
    """People in a place before a camera that stands still.

    Attributes:
        actors: all with as many frames.
        place: key of `scenes.scenery.PLACES`.
        body: of all of them.
        picture: size and effort.
        seed: of textures and grain.
    """

    actors: tuple[Actor, ...]
    place: str
    body: BodyModel = field(repr=False)
    picture: PictureOptions = CLIP_PICTURE
    seed: int = 0

    def __len__(self) -> int:
        return len(self.actors[0].poses)

    @cached_property
    def camera(self) -> Camera:
        """Level, at `CAMERA_HEIGHT`; its picture's middle is there too."""
        width, height = self.picture.width, self.picture.height
        focal = max(width, height) / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
        cam_k = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        distance = float(np.mean([actor.places[:, 1].mean() for actor in self.actors]))
        return Camera(cam_k, np.eye(3), distance, self.picture)

    @cached_property
    def background(self) -> np.ndarray:
        """(H, W, 3) linear RGB, without anybody's shadow."""
        speck = np.array([[0.0, -50, 0], [0.01, -50, 0], [0, -50, 0.01]])
        shadows = ShadowMaps(speck, np.array([[0, 1, 2]]), self.picture)
        return draw_background(PLACES[self.place], self.camera, shadows, self.seed)

    def truth(self, actor: int, frame: int) -> TrueFrame:
        """What is true of an actor in a frame."""
        figure = self._stand(self.actors[actor], frame)
        return TrueFrame(figure.betas, figure.pose_rotmats, figure.cam_t)

    def frames(self) -> Iterator[np.ndarray]:
        """The pictures, (H, W, 3) uint8 RGB."""
        for frame in range(len(self)):
            yield self.photograph(frame)

    def photograph(self, frame: int) -> np.ndarray:
        """One picture, (H, W, 3) uint8 RGB."""
        place, linear = PLACES[self.place], self.background.copy()
        nearest_last = sorted(self.actors, key=lambda actor: -actor.places[frame, 1])
        for actor in nearest_last:
            figure = self._stand(actor, frame)
            window = self._window(figure)
            if window is None:
                continue
            x0, y0, x1, y1 = window
            shift = np.array([[0, 0, x0], [0, 0, y0], [0, 0, 0]])
            part = replace(self.picture, width=x1 - x0, height=y1 - y0)
            camera = figure.camera._replace(cam_k=figure.camera.cam_k - shift, picture=part)
            figure = figure._replace(camera=camera)
            mesh = dress(actor.person, figure, self.body)
            shadows = ShadowMaps(mesh.vertices, mesh.faces, self.picture)
            drawn, alpha = draw_mesh(mesh, actor.person, figure, shadows, place.light, self.seed)
            below = linear[y0:y1, x0:x1]
            linear[y0:y1, x0:x1] = drawn + below * (1 - alpha[..., None])
        return develop(linear * place.exposure, self.seed + frame)

    def _window(self, figure: Figure) -> tuple[int, int, int, int] | None:
        """Whole pixels x0, y0, x1, y1 around a person; None where they are out of the picture."""
        seen = figure.vertices @ self.camera.cam_k.T
        points = seen[:, :2] / seen[:, 2:]
        size = (self.picture.width, self.picture.height)
        x0, y0 = np.maximum(np.floor(points.min(axis=0)) - WINDOW_MARGIN, 0).astype(int)
        x1, y1 = np.minimum(np.ceil(points.max(axis=0)) + WINDOW_MARGIN, size).astype(int)
        return tuple(map(int, (x0, y0, x1, y1))) if x1 - x0 > 1 and y1 - y0 > 1 else None

    @torch.inference_mode()
    def _stand(self, actor: Actor, frame: int) -> Figure:
        shape = torch.from_numpy(actor.betas)[None]
        output = self.body(shape, actor.poses[frame][None])
        vertices, pelvis = output.vertices[0].numpy(), output.joints3d[0, 0].numpy()
        x, z = actor.places[frame]
        shift = np.array([x - pelvis[0], CAMERA_HEIGHT - vertices[:, 1].max(), z - pelvis[2]])
        rest = output.vertices_tpose[0].numpy()
        still = self.body(shape, torch.eye(3).expand(1, 24, 3, 3)).joints3d[0].numpy()
        return Figure(
            actor.betas, actor.poses[frame], shift, vertices + shift, rest,
            Marks.of(still, rest), self.camera,
        )  # fmt: skip


def walk(count: int, fps: float, start: tuple[float, float], heading: float) -> tuple:
    """A walk on a straight line.

    Args:
        count: T frames.
        fps: frames a second.
        start: metres to the right and away from the camera.
        heading: degrees; 0 walks towards the camera, 90 to the picture's right.

    Returns:
        Poses (T, 24, 3, 3) in the frame of a level camera, and places (T, 2).
    """
    times = np.arange(count) / fps
    phase = 2 * np.pi * STEPS * times
    swing, lift = np.sin(phase), np.cos(phase)
    turns = {
        "left_hip": ("x", -24 * swing - 4), "right_hip": ("x", 24 * swing - 4),
        "left_knee": ("x", 12 + 26 * np.maximum(lift, 0) ** 2),
        "right_knee": ("x", 12 + 26 * np.maximum(-lift, 0) ** 2),
        "left_ankle": ("x", 6 * swing), "right_ankle": ("x", -6 * swing),
        "spine2": ("y", 5 * swing), "pelvis": ("y", -4 * swing),
    }  # fmt: skip
    arms = {
        "left_shoulder": ("zx", np.stack([np.full(count, -70), 20 * swing], axis=1)),
        "right_shoulder": ("zx", np.stack([np.full(count, 70), -20 * swing], axis=1)),
        "left_elbow": ("y", -25 - 8 * swing), "right_elbow": ("y", 25 - 8 * swing),
    }  # fmt: skip
    poses = _pose({**turns, **arms}, count, heading)
    along = np.array([np.sin(np.radians(heading)), -np.cos(np.radians(heading))])
    return poses, np.array(start) + WALKING_SPEED * times[:, None] * along


def perform(
    count: int, fps: float, start: tuple[float, float], heading: float, names: tuple[str, ...]
) -> tuple:
    """From one pose of the demo's people to the next, on one spot; see `walk`."""
    by_name = {person.name: person for person in PEOPLE}
    keys = torch.stack([build_pose(replace(by_name[name], yaw=heading)) for name in names]).numpy()
    position = np.arange(count) / fps / KEY_SECONDS
    whole, part = np.divmod(position, 1)
    position = whole + part * part * (3 - 2 * part)  # slow at each pose
    position = np.abs((position + len(names) - 1) % (2 * len(names) - 2) - (len(names) - 1))
    poses = np.empty((count, len(SMPL_JOINTS), 3, 3), np.float32)
    for joint in range(len(SMPL_JOINTS)):
        turn = Slerp(np.arange(len(names)), Rotation.from_matrix(keys[:, joint]))
        poses[:, joint] = turn(position).as_matrix()
    return torch.from_numpy(poses), np.tile(np.array(start, float), (count, 1))


def _pose(turns: Mapping[str, Turns], count: int, heading: float) -> torch.Tensor:
    rotmats = np.tile(np.eye(3), (count, len(SMPL_JOINTS), 1, 1))
    for joint, (axes, degrees) in turns.items():
        angles = np.asarray(degrees).reshape(count, len(axes))
        turn = Rotation.from_euler(axes, angles, degrees=True).as_matrix()
        rotmats[:, SMPL_JOINTS.index(joint)] = turn
    upright = Rotation.from_euler("y", heading, degrees=True).as_matrix()
    rotmats[:, 0] = np.diag([1.0, -1.0, -1.0]) @ upright @ rotmats[:, 0]
    return torch.from_numpy(rotmats.astype(np.float32))


def make_scene(
    name: str, count: int, fps: float, body: BodyModel, picture: PictureOptions = CLIP_PICTURE
) -> ClipScene:
    """One of the scenes that are measured.

    Args:
        name: "one" moves on a spot, "walker" walks across, "three" has two people who walk past
            each other beside a third one.
        count: of frames.
        fps: frames a second.
        body: of everybody.
        picture: size and effort.
    """
    seconds = count / fps
    across = WALKING_SPEED * seconds / 2
    poses = ("standing", "arms_up", "reaching", "hands_on_hips", "lunging", "waving", "walking")
    motions = {
        "one": [(PEOPLE[0], perform(count, fps, (0.0, 5.2), 5, poses))],
        "walker": [(PEOPLE[4], walk(count, fps, (-across, 5.2), 90))],
        "three": [
            (PEOPLE[1], walk(count, fps, (-across - 0.6, 5.2), 90)),
            (PEOPLE[3], walk(count, fps, (across - 0.6, 6.0), -90)),
            (PEOPLE[6], perform(count, fps, (2.0, 6.0), -10, poses[::-1])),
        ],
    }[name]
    generator = np.random.default_rng(7)
    actors = []
    for person, (each_poses, places) in motions:
        betas = generator.normal(0, 1.2, 10).astype(np.float32)
        actors.append(Actor(replace(person, stool=False), betas, each_poses, places))
    return ClipScene(tuple(actors), {"one": "room"}.get(name, "park"), body, picture)
