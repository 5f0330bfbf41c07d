"""Says in one sentence whether this Python can run the project; any Python can run this file."""

import platform
import sys

SUPPORTED = "Python 3.10 to 3.13 (64-bit) on Linux x86_64, macOS arm64 or Windows x86_64"
MACHINES = (("Linux", "x86_64"), ("Darwin", "arm64"), ("Windows", "AMD64"))


def main():
    """Exits with 0 when it can and 1 when it cannot."""
    version_fits = (3, 10) <= sys.version_info[:2] <= (3, 13)
    machine_fits = (platform.system(), platform.machine()) in MACHINES
    if not (version_fits and machine_fits and sys.maxsize > 2**32):
        found = "Python %s on %s %s" % (  # noqa: UP031  (old Pythons must read this file)
            platform.python_version(),
            platform.system(),
            platform.machine(),
        )
        sys.exit("This is %s, but this project needs %s." % (found, SUPPORTED))  # noqa: UP031


if __name__ == "__main__":
    main()
