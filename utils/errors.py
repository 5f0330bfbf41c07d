"""Bad input from the user, and photos or people that are skipped because of it."""

from dataclasses import dataclass


class InputError(Exception):
    """Bad input from the user: a file, an option or its contents.

    The message is one line that says what was found, what was expected and what to do. Scripts
    print it without a traceback and exit with a non-zero status.
    """


@dataclass(frozen=True)
class Skipped:
    """A photo or a person without a result."""

    name: str  # of the photo
    reason: str
