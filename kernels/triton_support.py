"""Whether Triton's kernels can run here."""

import functools
import subprocess


@functools.cache
def triton_problem(device_type: str) -> str | None:
    """Why Triton kernels cannot run on devices of a type; None if they can.

    On CUDA devices they can where the package is installed and starts; on the CPU in Triton's
    interpreter (TRITON_INTERPRET=1 in the environment), which is for tests.
    """
    try:
        import triton
    except ImportError:
        return "the package triton is not installed"
    if triton.knobs.runtime.interpret:
        return None
    if device_type != "cuda":
        return "Triton needs a CUDA device, or TRITON_INTERPRET=1 in the environment"
    try:
        triton.runtime.driver.active.get_current_target()  # the first time it runs a C compiler
    except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        return f"Triton does not start ({error})"
    return None
