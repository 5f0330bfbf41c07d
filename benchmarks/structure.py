"""Counts how much of the project a reader meets: files on the way of a batch and of a photo.

python -m benchmarks.structure --json structure.json

A batch is followed from `load_poses` to `loss.backward()`, a photo of demo/ through
`FolderPredictor.predict`; every file of ours counts that runs a function on the way, and the
script that starts it. Left out are kernels/ and what runs while modules are imported.
"""

import ast
import inspect
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.timing import write_json
from utils.command_line import parse_options, run_script
from utils.paths import DEMO, ROOT

# From the lowest to the highest; a folder may import those of the rows above its own.
LAYERS = (
    ("kernels",),
    ("utils",),
    ("models", "renderers", "losses", "metrics", "data"),
    ("synthesis", "scenes"),
    ("predict",),
    ("train", "evaluate"),
    ("tools",),
)
LEVELS = {folder: level for level, layer in enumerate(LAYERS) for folder in layer}
SCRIPTS = ("run_train", "run_predict", "run_evaluate")
MAX_FUNCTION_LINES = 50
POSES = 4  # in the batch that is followed


@dataclass(frozen=True)
class Options:
    """Options of benchmarks.structure."""

    json: Path | None = None  # file for the counts
    trace: bool = True  # also follow a batch and a photo; else only read the files


def main(options: Options) -> None:
    """Counts, prints and writes."""
    counts: dict[str, Any] = {
        "lines outside tests": sum(
            len(path.read_text().splitlines()) for path in find_files(without=("tests",))
        ),
        f"functions over {MAX_FUNCTION_LINES} lines": find_long_functions(),
        "upward imports": find_upward_imports(),
        "imports of a script": find_script_imports(),
        "modules in a circle": find_circles(),
    }
    if options.trace:
        for name, follow in (("batch", follow_batch), ("photo", follow_photo)):
            trace = follow()
            counts[f"files on the way of a {name}"] = sorted(trace.files)
            counts[f"changes of file on the way of a {name}"] = trace.changes
            if trace.stages:
                counts[f"stage classes on the way of a {name}"] = sorted(trace.stages)
    for name, found in counts.items():
        print(f"{name}: {found if isinstance(found, int) else len(found)}")
        for each in found if isinstance(found, list) else ():
            print(f"    {each}")
    write_json(options.json, counts)


def find_files(without: tuple[str, ...] = ()) -> list[Path]:
    """The project's Python files but for those in some of its folders."""
    folders = [
        path
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in without
    ]
    return sorted([*ROOT.glob("*.py"), *(file for each in folders for file in each.rglob("*.py"))])


def module_name(path: Path) -> str:
    """data/truth.py -> data.truth."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def find_long_functions() -> list[str]:
    """Functions that are too long for one look, kernels left out, docstrings counted."""
    found = []
    for path in find_files(without=("tests", "kernels")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    found.append(f"{module_name(path)}.{node.name}: {lines} lines")
    return found


def read_imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it, and names that it takes from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def find_library_files() -> list[Path]:
    """The files of all folders in `LAYERS`."""
    return [path for path in find_files() if path.relative_to(ROOT).parts[0] in LEVELS]


def find_upward_imports() -> list[str]:
    """Imports of a folder that does not lie below the file's own."""
    found = []
    for path in find_library_files():
        folder = path.relative_to(ROOT).parts[0]
        others = {module.split(".")[0] for module in read_imports(path)} & set(LEVELS) - {folder}
        found += [
            f"{module_name(path)} imports {other}"
            for other in sorted(others)
            if LEVELS[other] >= LEVELS[folder]
        ]
    return found


def find_script_imports() -> list[str]:
    """Files outside tests/ that import a run script."""
    return [
        module_name(path)
        for path in find_files(without=("tests",))
        if read_imports(path) & set(SCRIPTS)
    ]


def find_circles() -> list[str]:
    """Modules that import one another, however indirectly, or wait for those that do."""
    modules = {module_name(path): path for path in find_library_files()}
    waiting = {name: read_imports(path) & set(modules) - {name} for name, path in modules.items()}
    while free := {name for name, imported in waiting.items() if not imported & set(waiting)}:
        waiting = {name: imported for name, imported in waiting.items() if name not in free}
    return sorted(waiting)


@dataclass
class Trace:
    """The files that functions were called in.

    Attributes:
        files: relative to the project.
        changes: how often the next function that was called stood in another file.
        stages: names of the classes of values that were made on the way, if they were looked for.
    """

    files: set[str]
    changes: int = 0
    stages: set[str] = field(default_factory=set)
    _last: str = ""
    _importing: dict[int, FrameType] = field(default_factory=dict)

    def watch(self, frame: FrameType, event: str, _) -> None:
        """What `sys.setprofile` calls at each call and return."""
        thread, code = threading.get_ident(), frame.f_code
        if thread in self._importing:
            if event == "return" and self._importing[thread] is frame:
                del self._importing[thread]
            return
        path = Path(code.co_filename)
        if event != "call" or not path.is_relative_to(ROOT):
            return
        if code.co_name == "<module>":
            self._importing[thread] = frame
            return
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(("kernels/", "benchmarks/", "tests/", ".")):
            return
        self.files.add(name)
        self.changes += name != self._last
        self._last = name


@contextmanager
def watched(trace: Trace) -> Iterator[None]:
    """Follows what this thread and those that it starts call."""
    threading.setprofile(trace.watch)
    sys.setprofile(trace.watch)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def follow_batch() -> Trace:
    """A batch of the default options, on the CPU, from poses to gradients, without metrics."""
    import torch

    script = import_module("run_train")  # by name: nothing else may import a script
    options = script.Options()
    training = replace(options.training, batch_size=POSES, samples_per_epoch=POSES)
    options = replace(options, training=training, data=replace(options.data, image_size=64))
    trainer = script.build_trainer(options, torch.device("cpu"))
    trace = Trace({"run_train.py"})
    with watched(trace):
        poses, betas = script.load_training(options.data)
    make_batch, backward = trainer.make_batch, torch.Tensor.backward

    def first_call(*arguments) -> Any:  # the way goes on here
        sys.setprofile(trace.watch)
        return make_batch(*arguments)

    def last_call(loss: torch.Tensor) -> None:  # and ends here
        backward(loss)
        sys.setprofile(None)

    trainer.make_batch, torch.Tensor.backward = first_call, last_call
    try:
        trainer.train_epoch(poses, options.augmentation, list, betas)
    finally:
        sys.setprofile(None)
        torch.Tensor.backward = backward
    return trace


def follow_photo() -> Trace:
    """A photo without a truth beside it, through `FolderPredictor.predict` to its files."""
    script = import_module("run_predict")
    from predict.folder import FolderPredictor

    trace, predict = Trace({"run_predict.py"}), FolderPredictor.predict

    def followed(*arguments) -> Iterator[Any]:
        for path in (ROOT / "predict").rglob("*.py"):
            if "detectors" not in path.parts:
                _record_values(import_module(module_name(path)), trace)
        with watched(trace):
            results = list(predict(*arguments))
        yield from results

    FolderPredictor.predict = followed
    try:
        with tempfile.TemporaryDirectory() as folder:
            photo = shutil.copy(next(DEMO.glob("*.jpg")), folder)
            output = Path(folder) / "output"
            script.predict(script.PredictOptions(input=Path(photo), output=output, device="cpu"))
    finally:
        FolderPredictor.predict = predict
    return trace


def _record_values(module: Any, trace: Trace) -> None:
    """Notes the public data classes and named tuples of a module as they are made."""
    for name, each in vars(module).items():
        if not inspect.isclass(each) or each.__module__ != module.__name__ or name[0] == "_":
            continue
        maker = "__init__" if hasattr(each, "__dataclass_fields__") else "__new__"
        if maker == "__init__" or hasattr(each, "_fields"):
            setattr(each, maker, _noting(getattr(each, maker), name, trace))


def _noting(make: Callable, name: str, trace: Trace) -> Callable:
    def noted(*arguments, **named):
        trace.stages.add(name)
        return make(*arguments, **named)

    return noted


if __name__ == "__main__":
    sys.exit(run_script(lambda: main(parse_options(Options, __doc__))))
