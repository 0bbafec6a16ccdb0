"""`python -m dispatcher`: the command line, for installations without the script on PATH."""

from __future__ import annotations

import sys

from dispatcher.cli import main

if __name__ == "__main__":
    sys.exit(main())
