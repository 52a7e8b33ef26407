"""`python -m sinks.child PARENT_PID WORD...`: `sightline WORD...` that ends when its parent does, however that ends."""

import ctypes
import os
import signal
import sys

from infra import cli

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may be gone already, before we asked for the signal.
    if os.getppid() != parent:
        sys.exit(1)
    cli.main(sys.argv[2:])


if __name__ == "__main__":
    main()
