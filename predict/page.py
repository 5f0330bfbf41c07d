"""One page of all results in a folder, `index.html`, to open from disk without a network.

    python -m predict.page --output output/demo --input demo

`run_predict.py --page` makes it at the end of a run. The pictures are those of the run, shown where
they lie. The folder `page` beside them has what the page needs besides: the photos, reduced, and
each person's body, which a script holds since a page from disk may read no other file. Both are
loaded when somebody looks at them. The viewer is three.js, which is in the page.
"""

import base64
import functools
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import cv2
import numpy as np

from predict.meshes import TPOSE_MESH
from predict.options import MeshFormat
from predict.pictures import PictureKind
from predict.rigged_mesh import CAMERA_TO_GLTF
from predict.tables import JSON_NAME
from utils.command_line import parse_options, run_script
from utils.errors import InputError
from utils.files import check_writable, write_whole
from utils.images import find_images, read_image, write_image
from utils.paths import OUTPUT
from utils.readers import open_file, read_npz, reading

PAGE_NAME, PARTS_NAME = "index.html", "page"
PHOTO_SIDE = 1000  # px, longer side of the reduced photos
JPEG_QUALITY = 85
LAYERS = ("proxy", "overlay")  # pictures that lie over the photo, in the order of the slider
_SOURCES = Path(__file__).parent / "page_files"
_STEPS = 65535  # vertices are whole numbers of this many steps along each axis


@dataclass(frozen=True)
class PageOptions:
    """Options of the page."""

    output: Path = OUTPUT  # folder with the results of run_predict.py
    input: Path | None = (
        None  # the photos, as run_predict.py had them; None: those of the last page
    )


def main() -> int:
    """Makes the page of a folder."""
    options = parse_options(PageOptions, __doc__)
    paths = [] if options.input is None else find_images(options.input)
    photos = {path.name: path for path in paths}
    print(f"the page is {write_page(options.output, photos)}")
    return 0


def write_page(output: Path, photos: Mapping[str, Path]) -> Path:
    """Writes the page of a folder's results, and what it needs in a folder of its own.

    Args:
        output: folder of results, with results.json.
        photos: their files by what the results call them; those that are not given, or cannot be
            read, are not shown, unless an earlier page had them.

    Returns:
        The page's path.

    Raises:
        InputError: there is no results.json, or the folder cannot be written.
    """
    path = output / JSON_NAME
    with reading(path, "table of results", "predict the photos again"), open_file(path) as file:
        results = json.loads(file.read())
        people, skipped = results["people"], results["skipped"]
        names = [(str(each["file"]), str(each["name"])) for each in people]
    check_writable(output / PARTS_NAME)
    folder = _Folder(output, frozenset(os.listdir(output)))
    firsts: dict[str, str] = {}  # by file, the name of its first person
    for file, name in names:
        firsts.setdefault(file, name)
    shown = {file: folder.add_photo(name, photos.get(file)) for file, name in firsts.items()}
    content = {
        "people": [folder.describe(each, shown, str(results.get("body_hash"))) for each in people],
        "faces": folder.faces,
        "skipped": [{"reason": str(each["reason"])} for each in skipped],
    }
    page = output / PAGE_NAME
    write_whole(page, fill_template(content).encode("utf-8", "backslashreplace"))
    return page


def fill_template(content: dict[str, Any]) -> str:
    """The page as text, with all that it shows."""
    # Inside a script only "<" could end it: names of files may hold anything.
    data = json.dumps(content).replace("<", "\\u003c")
    parts = {
        "/*STYLE*/": _read_source("page.css"),
        "/*DATA*/": data,
        "/*THREE*/": _read_source("three.min.js"),
        "/*SCRIPT*/": _read_source("page.js"),
    }
    # All at once: what is filled in may hold a marker.
    markers = "|".join(map(re.escape, parts))
    return re.sub(markers, lambda match: parts[match[0]], _read_source("page.html"))


@functools.cache
def _read_source(name: str) -> str:
    return (_SOURCES / name).read_text(encoding="utf-8")


class _Folder:
    """A folder of results, to which a page adds its parts.

    Args:
        output: the folder.
        files: names of what is in it.
    """

    def __init__(self, output: Path, files: frozenset[str]) -> None:
        self._output, self._files = output, files
        self.faces: dict[str, dict[str, Any]] = {}  # by hash of the body: as `page.js` reads them

    def add_photo(self, name: str, photo: Path | None) -> str | None:
        """Reduces a photo; returns its address in the page, None where there is none."""
        path = self._output / PARTS_NAME / f"{name}.jpg"
        if photo is not None and not _is_newer(path, photo):
            try:
                write_image(path, _reduce(read_image(photo)), JPEG_QUALITY)
            except InputError:  # results are there all the same
                return None
        return _address(PARTS_NAME, path.name) if path.is_file() else None

    def describe(
        self, person: dict[str, Any], photos: dict[str, str | None], body_hash: str
    ) -> dict[str, Any]:
        """What the page shows of a person.

        Args:
            person: of results.json.
            photos: addresses of the reduced ones, by file.
            body_hash: of the body that most people have.
        """
        file, name, number = str(person["file"]), str(person["name"]), person["person"]
        key = str(person.get("source", {}).get("body_hash", body_hash))
        photo = photos[file]
        layers = [] if photo is None else [{"name": "Photo", "source": photo}]
        layers += [
            {"name": kind.capitalize(), "source": _address(f"{name}_{kind}.png")}
            for kind in LAYERS
            if f"{name}_{kind}.png" in self._files
        ]
        numbered = name.endswith(f"_{number}") and not Path(file).stem.endswith(f"_{number}")
        return {
            "label": f"{file}, person {number}" if numbered or number != 1 else file,
            "key": name,
            "iou": person["silhouette_iou"],
            "measurements": person["measurements"],
            "layers": layers,
            "files": [
                {"name": label, "source": _address(each)} for label, each in self._list_files(name)
            ],
            "faces": key,
            "body": self._add_body(name, key),
        }

    def _list_files(self, name: str) -> list[tuple[str, str]]:
        """What can be downloaded of a person: labels and names of files."""
        endings = {"npz": f"{name}.npz"}
        for each in get_args(MeshFormat):
            endings[each] = f"{name}.{each}"
            endings[f"T-pose {each}"] = f"{name}{TPOSE_MESH}.{each}"
        kinds = [kind for kind in get_args(PictureKind) if kind not in ("people", *LAYERS)]
        endings |= {kind: f"{name}_{kind}.png" for kind in kinds}
        endings["everybody"] = f"{name.rpartition('_')[0]}_people.png"
        return [(label, file) for label, file in endings.items() if file in self._files]

    def _add_body(self, name: str, key: str) -> str | None:
        """Writes a person's body as a script; returns its address, None where there is no body."""
        source, script = self._output / f"{name}.npz", self._output / PARTS_NAME / f"{name}.js"
        if source.name not in self._files:
            return None
        try:
            if key not in self.faces:
                self.faces[key] = _pack_faces(read_npz(source, ["faces"])["faces"])
            if not _is_newer(script, source):
                arrays = read_npz(source, ["vertices", "vertices_tpose"])
                body = {
                    "posed": _pack_vertices(arrays["vertices"] @ CAMERA_TO_GLTF),
                    "tpose": _pack_vertices(arrays["vertices_tpose"]),
                }
                call = f"strapsBody({json.dumps(name)}, {json.dumps(body)});\n"
                write_whole(script, call.encode())
        except InputError:  # an older result, or a damaged one
            return None
        return _address(PARTS_NAME, script.name)


def _is_newer(made: Path, source: Path) -> bool:
    """Whether a file was made after the one that it is made of."""
    try:
        return made.stat().st_mtime_ns > source.stat().st_mtime_ns
    except OSError:
        return False


def _reduce(image: np.ndarray) -> np.ndarray:
    zoom = min(1.0, PHOTO_SIDE / max(image.shape[:2]))
    height, width = (max(1, round(zoom * side)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _address(*parts: str) -> str:
    """Of a file in the folder or one below, as links have it."""
    return "/".join(quote(os.fsencode(part), safe="") for part in parts)


def _pack_vertices(vertices: np.ndarray) -> dict[str, Any]:
    """(V, 3) metres, y up, as 16-bit steps (0.03 mm for somebody of 2 m)."""
    low, span = vertices.min(axis=0), np.ptp(vertices, axis=0)
    step = np.maximum(span, 1e-9) / _STEPS
    return {
        "low": low.tolist(),
        "step": step.tolist(),
        "numbers": _to_base64(np.rint((vertices - low) / step).astype("<u2")),
    }


def _pack_faces(faces: np.ndarray) -> dict[str, Any]:
    wide = bool(faces.max() >= 1 << 16)
    return {"wide": wide, "numbers": _to_base64(faces.astype("<u4" if wide else "<u2"))}


def _to_base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


if __name__ == "__main__":
    sys.exit(run_script(main))
