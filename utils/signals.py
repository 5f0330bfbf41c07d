"""Ends the program on Ctrl-C and SIGTERM: at any moment, in one line, with no file half written.

Python raises an exception where the signal arrives. That may be inside a library that swallows it,
or makes another error of it, or within an import, whose traceback says nothing. Here the program
ends instead where it is: files are written whole (`utils.files.write_whole`), so there is nothing
that must be tidied up first.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 143}  # exit status: 128 + the signal's number

_lock = threading.Lock()
_at_work = 0  # threads that are in `finishing`
_received: int | None = None  # the signal that came meanwhile
_last_words = "stopped"
_stderr: int | None = None  # as it was at the beginning: detectors close it for a while


def end_on_signals(last_words: str = "stopped") -> None:
    """From here on Ctrl-C and SIGTERM end the program with `STATUSES`.

    Scripts call it before the imports that take time. Only a program's main thread may. A second
    signal ends the program at once, whatever it does.

    Args:
        last_words: printed on stderr, a line.
    """
    global _last_words, _stderr
    _last_words = last_words
    if _stderr is None:
        with contextlib.suppress(OSError):  # it is closed
            _stderr = os.dup(2)
    for number in STATUSES:
        # A shell starts jobs in the background with SIGINT ignored, and so it stays.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _receive)


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """What must not be left half done: a signal ends the program after it. In any thread."""
    global _at_work
    with _lock:
        _at_work += 1
    try:
        yield
    finally:
        with _lock:
            _at_work -= 1
        if not _at_work and _received is not None:
            _end(_received)


def _receive(number: int, _: FrameType | None) -> None:
    global _received
    signal.signal(number, signal.SIG_DFL)  # for the second one
    # Before the look at who is at work: who ends that work after the look sees it.
    _received = number
    if not _at_work:
        _end(number)


def _end(number: int) -> None:
    _end_children()
    with contextlib.suppress(Exception):  # nobody may read them any more
        sys.stdout.flush()
    with contextlib.suppress(Exception):
        after_progress_bar = "\n" if os.isatty(_stderr) else ""
        line = f"{after_progress_bar}{os.path.basename(sys.argv[0])}: {_last_words}\n"
        os.write(_stderr, line.encode(errors="replace"))
    os._exit(STATUSES[number])


def _end_children() -> None:
    """Ends the processes that this one started; a signal may have been sent to this one alone."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for child in multiprocessing.active_children():
            child.terminate()


@contextlib.contextmanager
def started_processes_ignore_ctrl_c() -> Iterator[None]:
    """Ctrl-C reaches all processes of a terminal; this one speaks for those that it starts here."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Lets a process that `multiprocessing` started end as soon as its parent does, however."""
    from multiprocessing import parent_process

    def wait() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
