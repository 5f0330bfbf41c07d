"""Programs that tests start, and that must heed Ctrl-C."""

import signal
import subprocess


def start_program(command, **options):
    """A process with piped text output that heeds Ctrl-C, also where the tests themselves do not.

    What a shell starts in the background ignores it, and so does everything that is started there.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, preexec_fn=_heed_interrupts, **pipes, **options)


def _heed_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
