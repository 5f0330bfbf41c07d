"""The one exception that means "the user can mend this"."""


class InputError(Exception):
    """Bad input from the user: a file, an option or its contents.

    The message is one line that says what was found, what was expected and what to do. Scripts
    print it without a traceback and exit with a non-zero status.
    """
