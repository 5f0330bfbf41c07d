"""Predicts body shape and pose of the people in each photo of a folder.

    python run_predict.py --input demo --output output/demo

For every photo `<name>` it writes into the output folder
    <name>_overlay.png  the predicted body on the photo
    <name>_tpose.png    the predicted shape in the T-pose, from the front and the side
    <name>_proxy.png    what the network saw: silhouette and joints
    <name>_people.png   everybody on the photo, with --people all
    <name>_views.png    the posed body from the side and from above, with --pictures views
    <name>_vertices.png the predicted vertices as points, with --pictures vertices
    <name>_measurements.png the T-posed body with tape lines, with --pictures measurements
    <name>.npz          everything predicted (betas, pose, cameras, vertices, joints, ...)
    <name>.glb          a rigged body, with --save-meshes glb
and for the folder
    results.csv         a row a person: box, measurements, betas, IoU; why a photo was skipped
    results.json        the same
    index.html          a page with all of it, with --page
With `--people all` the names are `<name>_1`, `<name>_2` and so on, the most prominent person
first, also where there is but one. With `--same-person` all photos in a folder get one shape, and
<person>.npz holds it, called after the folder.

A video, or with `--video` a folder of frames, gives a motion: `<name>.npz`, `.bvh` and `.glb` of
the main person, or of everybody with `--people all`, and `<name>_overlay.mp4`.

Several processes share a folder: `torchrun --nproc_per_node=4 run_predict.py --input photos`. Each
takes a part; all wait for the last one, print one summary and end with the same status, which
torchrun itself turns into 0 or 1.

Exit status: 0 all done, 1 none done, 2 wrong use, 3 some photos were skipped, 130 stopped.
"""

import sys

from utils.signals import end_on_signals

if __name__ == "__main__":
    end_on_signals()  # before the imports that take time


from predict.options import PredictOptions
from utils.command_line import parse_options, run_script
from utils.errors import InputError

ALL_DONE, NONE_DONE, SOME_SKIPPED = 0, 1, 3


def main() -> int:
    """Parses the options and returns the exit status."""
    return predict(parse_options(PredictOptions, __doc__))


def predict(options: PredictOptions) -> int:
    """Predicts every photo, writes the results and prints a summary; returns the exit status."""
    # Imported here so that --help and mistakes in the options are answered at once.
    from tqdm import tqdm

    from predict.folder import Background
    from predict.results import Report, make_output_folder
    from predict.setup import choose_photos, find_known, list_photos, load_folder_predictor
    from predict.tables import ResultTables
    from predict.video import is_clip
    from utils.devices import name_device
    from utils.processes import Ranks

    check_options(options)
    if options.video or is_clip(options.input):
        return predict_clip(options)
    ranks = Ranks.from_environment()
    people = list_photos(options)
    known = find_known(options, people)
    make_output_folder(options.output, options.input)
    tables = ResultTables(options.output, ranks.rank)
    photos, left_out = choose_photos(options, ranks.share_of(people))
    device = name_device(options.device, options.gpu)
    folder_predictor = load_folder_predictor(options, ranks.device_name(device, shared=True), known)
    numbered = options.people == "all"
    tables.start(folder_predictor.writer.source, photos, left_out, numbered)
    report = Report(numbered)
    with (
        Background() as background,
        tqdm(total=len(photos), unit="photo", disable=None if ranks.is_first else True) as progress,
    ):
        for result in folder_predictor.predict(photos, background):
            tables.add(result)
            progress.write(report.add(result))
            sys.stdout.flush()  # whole lines, also where several processes write
            progress.update()
    reports, rows = zip(*ranks.gather((report, tables.rows)), strict=True)
    total = Report.combine(reports)
    if ranks.is_first:
        tables.finish(rows)
        if options.page:
            from predict.page import write_page  # here: others start sooner without it

            files = {photo.file: photo.path for photos in people for photo in photos}
            write_page(options.output, files)
        print(total.summary(options.output))
    return choose_exit_status(total.done, total.skipped)


def predict_clip(options: PredictOptions) -> int:
    """Predicts a clip, writes the results and prints a summary; returns the exit status."""
    from predict.clip import ClipOptions, ClipPredictor, make_key
    from predict.folder import leave_cores_to_other_stages
    from predict.loading import load_system
    from predict.motion import MotionOptions
    from predict.results import is_done, make_output_folder
    from predict.setup import build_clip_estimator, choose_system
    from predict.video import open_clip
    from utils.devices import choose_device, name_device
    from utils.processes import Ranks

    if Ranks.from_environment().size > 1:
        raise InputError("a clip is predicted by one process; leave out torchrun")
    check_clip_options(options)
    clip = open_clip(options.input, options.fps)
    make_output_folder(options.output, options.input)
    path, everyone = options.input.resolve(), options.people == "all"
    name = path.name if path.is_dir() else path.stem
    if options.skip_done and is_done(options.output, name, everyone):
        print(f"{clip.path} has results in {options.output} and is left out")
        return ALL_DONE
    device = choose_device(name_device(options.device, options.gpu))
    leave_cores_to_other_stages()
    system = load_system(choose_system(options), device)
    clip_options = ClipOptions(
        everyone,
        options.visuals,
        options.renderer,
        options.skip_done,
        MotionOptions(options.smoothing),
        options.focal_px,
        {name: each for name, each in system.source.arrays.items() if "detected" not in name},
    )
    clip_predictor = ClipPredictor(
        system.detector,
        system.body_predictor,
        system.predictor.body_on_cpu(),
        clip_options,
        build_clip_estimator(options, system, clip.path.name),
    )
    key = make_key(clip, options, "refine mirror proxy fps", system.source)
    for line in clip_predictor.predict(clip, options.output, name, key):
        print(line)
    print(f"results are in {options.output}")
    return ALL_DONE


def check_clip_options(options: PredictOptions) -> None:
    """Raises InputError for options that are of photos alone."""
    given = {
        "save-meshes": set(options.save_meshes or ()) - {"glb"},
        "vertex-scatter": options.vertex_scatter,
        "pictures": options.pictures,
        "page": options.page,
        "same-person": options.same_person,
        "genders": options.genders,
        "silh_from files": options.silh_from == "files",
    }
    for name in (name for name, value in given.items() if value):
        raise InputError(f"--{name} is for photos; leave it out for a clip")


def check_options(options: PredictOptions) -> None:
    """Raises InputError for values that no run can use."""
    if options.batch_size < 1:
        raise InputError(f"--batch-size is {options.batch_size}; expected 1 or more")
    for name, value, least in (
        ("fps", options.fps, 0.1),
        ("smoothing", options.smoothing, 0.0),
        ("focal-px", 1.0 if options.focal_px is None else options.focal_px, 1.0),
    ):
        if not least <= value <= 1e6:
            raise InputError(f"--{name} is {value}; expected a number from {least:g} on")
    if options.height is not None and options.people == "all":
        raise InputError("--height is of one person a photo; leave out --people all")
    if options.genders is not None and options.people == "all":
        raise InputError("--genders is of one person a photo; leave out --people all")
    if options.same_person and options.people == "all":
        raise InputError("--same-person is of one person a photo; leave out --people all")


def choose_exit_status(done: int, skipped: int) -> int:
    """0 when every photo was done, 1 when none was, else 3."""
    if not skipped:
        return ALL_DONE
    return SOME_SKIPPED if done else NONE_DONE


if __name__ == "__main__":
    sys.exit(run_script(main))
