"""Predicts body shape and pose of the person in each photo of a folder.

    python run_predict.py --input demo --output output/demo

For every photo `<name>` it writes into the output folder
    <name>_overlay.png  the predicted body on the photo
    <name>_tpose.png    the predicted shape in the T-pose, from the front and the side
    <name>_proxy.png    what the network saw: silhouette and joints
    <name>.npz          everything predicted (betas, pose, cameras, vertices, joints, ...)

Exit status: 0 all done, 1 none done, 2 wrong use, 3 some photos were skipped.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils.command_line import WRONG_USE, parse_options
from utils.errors import InputError
from utils.paths import DEFAULT_CHECKPOINT, DEMO, OUTPUT

ALL_DONE, NONE_DONE, SOME_SKIPPED = 0, 1, 3


@dataclass(frozen=True)
class PredictOptions:
    """Options of run_predict.py."""

    input: Path = DEMO  # one image, or a folder of images (png, jpg, jpeg, bmp, webp, tif)
    output: Path = OUTPUT  # folder for the results, made if need be
    checkpoint: Path = DEFAULT_CHECKPOINT  # weights of the regressor
    silh_from: str = "mediapipe"  # detector of silhouette and joints: mediapipe
    device: str = "auto"  # auto (CUDA if there is one), cpu, cuda or cuda:1 ...
    batch_size: int = 8  # people that pass through the network together
    visuals: bool = True  # pictures; without them parameters only
    renderer: Literal["auto", "pyrender", "own"] = "auto"  # auto: pyrender where OpenGL works
    save_meshes: bool = False  # also write the posed and the T-posed body as .obj


def main() -> int:
    """Parses the options and returns the exit status."""
    options = parse_options(PredictOptions, __doc__)
    try:
        return predict(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return NONE_DONE


def predict(options: PredictOptions) -> int:
    """Predicts every photo, writes the results and prints a summary; returns the exit status."""
    # Imported here so that --help and mistakes in the options are answered at once.
    from tqdm import tqdm

    from models.checkpoints import load_predictor
    from predict.detectors.registry import build_detector
    from predict.outputs import make_output_folder, output_names
    from predict.people import BodyPredictor, Photo, PredictedPerson, ResultWriter, predict_photos
    from predict.report import Report
    from predict.truth import TruthComparer
    from renderers.overlay import BodyRenderer
    from utils.devices import choose_device
    from utils.images import find_images

    check_options(options)
    paths = find_images(options.input)
    photos = [Photo(*pair) for pair in zip(paths, output_names(paths), strict=True)]
    make_output_folder(options.output, options.input)
    device = choose_device(options.device)
    predictor = load_predictor(options.checkpoint, device)
    body_predictor = BodyPredictor(predictor, device)
    detector = build_detector(options.silh_from)
    renderer = BodyRenderer(body_predictor.faces, options.renderer) if options.visuals else None
    writer = ResultWriter(options.output, body_predictor.faces, renderer, options.save_meshes)

    body = predictor.body_model
    comparer = TruthComparer(body.faces, body.face_parts, predictor.image_size)
    report = Report()
    with tqdm(total=len(photos), unit="photo", disable=None) as progress:
        for result in predict_photos(photos, detector, body_predictor, options.batch_size):
            errors = None
            if isinstance(result, PredictedPerson):
                errors = comparer.errors_beside(result.photo.path, result.arrays)
                result = writer.write(result)
            progress.write(report.add(result, errors))
            progress.update()
    print(report.summary(options.output))
    return exit_status(report.done, report.skipped)


def check_options(options: PredictOptions) -> None:
    """Raises InputError for values that no run can use."""
    if options.batch_size < 1:
        raise InputError(f"--batch-size is {options.batch_size}; expected 1 or more")


def exit_status(done: int, skipped: int) -> int:
    """0 when every photo was done, 1 when none was, else 3."""
    if not skipped:
        return ALL_DONE
    return SOME_SKIPPED if done else NONE_DONE


if __name__ == "__main__":
    sys.exit(main())
