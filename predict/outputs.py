"""Names and contents of the files that a prediction leaves behind."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh

from predict.detectors.interface import Detection
from utils.errors import InputError
from utils.files import check_writable, write_whole
from utils.joints import BODY_MODEL_JOINTS, COCO17

TPOSE_MESH = "_tpose"  # what the T-posed mesh's name adds to the posed one's


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name for each image whose files are those of no other one.

    That is its stem, or its file name where stems clash. Upper and lower case count as the same,
    since some file systems cannot tell them apart.
    """
    counts = Counter(path.stem.casefold() for path in paths)

    def clashes(stem: str) -> bool:
        # The T-posed mesh of a.png is the posed one of a_tpose.png.
        base = stem.removesuffix(TPOSE_MESH)
        return counts[stem] > 1 or (base != stem and base in counts)

    names = [path.name if clashes(path.stem.casefold()) else path.stem for path in paths]
    if len({name.casefold() for name in names}) == len(names):
        return names
    # a.png, a.jpg and a.jpg.png: file names as a whole never clash.
    return [path.name for path in paths]


def person_names(name: str, count: int, numbered: bool) -> list[str]:
    """Names for the results of the people in a photo.

    Args:
        name: of the photo's results, as `output_names` gives it.
        count: of people.
        numbered: `name_1`, `name_2` and so on, also where there is but one; else `name` itself,
            for one person.
    """
    if numbered:
        return [f"{name}_{number}" for number in range(1, count + 1)]
    if count != 1:
        raise ValueError(f"{count} people cannot share the name {name}")
    return [name]


def make_output_folder(output: Path, source: Path) -> None:
    """Makes the folder for results.

    Raises:
        InputError: it cannot be made or written, or is the folder that the images come from, where
            the pictures written would be taken for photos the next time.
    """
    folder = source if source.is_dir() else source.parent
    if output.resolve() == folder.resolve():
        raise InputError(f"--output {output} is where the images are; choose another folder")
    check_writable(output)


def save_person(path: Path, person: dict[str, np.ndarray], detection: Detection) -> None:
    """Writes everything that is known about a person to an npz file.

    Args:
        path: of the file.
        person: arrays of `predict.pipeline.Bodies.person`.
        detection: what the prediction was made from.
    """
    content = io.BytesIO()
    coco_names, joint_names = np.array(COCO17), np.array(BODY_MODEL_JOINTS)
    # Not compressed: the numbers are floats, which would shrink by a tenth and take thrice as long.
    np.savez(
        content,
        **person,
        joint_names=joint_names,
        detected_joints2d_px=detection.joints2d_px,
        detected_joint_confidence=detection.joint_confidence,
        detected_joint_names=coco_names,
        detected_box=detection.box,
    )
    write_whole(path, content.getvalue())


def save_meshes(stem: Path, person: dict[str, np.ndarray], faces: np.ndarray) -> None:
    """Writes the posed and the T-posed body as `<stem>.obj` and `<stem>_tpose.obj`, metres, y up.

    Args:
        stem: path without suffix.
        person: arrays of `predict.pipeline.Bodies.person`.
        faces: (F, 3) ints.
    """
    upright = person["vertices"] * np.array([1, -1, -1])  # camera axes to y up, z to the viewer
    for suffix, vertices in ((".obj", upright), (f"{TPOSE_MESH}.obj", person["vertices_tpose"])):
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        write_whole(stem.with_name(stem.name + suffix), mesh.export(file_type="obj").encode())
