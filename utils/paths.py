"""Where the project's files live; every default path is spelled here."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ADDITIONAL = ROOT / "additional"
OPEN_BODY = ADDITIONAL / "open_body"
SHAPE_DETAILS = OPEN_BODY / "shape_details.npz"
CHECKPOINTS = ROOT / "checkpoints"
DATA = ROOT / "data"
DEMO = ROOT / "demo"
OUTPUT = ROOT / "output"
EXPERIMENTS = ROOT / "experiments"

MEDIAPIPE_POSE = CHECKPOINTS / "mediapipe_pose.npz"
DEFAULT_CHECKPOINT = CHECKPOINTS / "open_body_feedback.tar"
OPEN_POSES_TRAIN = DATA / "open_poses_train.npz"
STRANGERS = DATA / "strangers.npz"
OPEN_SHAPES = DATA / "open_shapes.npz"
OPEN_POSES_VAL = DATA / "open_poses_val.npz"
DETECTOR_ERRORS = DATA / "detector_errors_mediapipe.npz"
