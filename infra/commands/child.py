"""`python -m infra.commands.child PARENT_PID WORD...`: `sightline WORD...`, ended when its parent ends."""

import os
import signal
import sys

from infra import cli
from infra.process.children import die_with_parent


def main() -> None:
    parent = int(sys.argv[1])
    die_with_parent(signal.SIGTERM)
    # It may be gone already, before we asked for the signal.
    if os.getppid() != parent:
        sys.exit(1)
    cli.main(sys.argv[2:])


if __name__ == "__main__":
    main()
