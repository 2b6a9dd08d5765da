"""`python -m qinstruct_operator` is the command `qinstruct`."""

import sys

from qinstruct_operator.cli import main

if __name__ == "__main__":
    sys.exit(main())
