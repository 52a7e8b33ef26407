"""`python -m infra.commands.child PARENT_PID WORD...` runs `sightline WORD...` and stops when its parent ends."""

import os
import signal
import sys

from infra import cli
from infra.process.children import die_with_parent


def main() -> None:
    parent = int(sys.argv[1])
    die_with_parent(signal.SIGTERM)
    # The parent may have ended before the signal was asked for.
    if os.getppid() != parent:
        sys.exit(1)
    cli.main(sys.argv[2:])


if __name__ == "__main__":
    main()
