"""`python -m tests.simulation`: see `seeds.USAGE`, or `--help`."""

from __future__ import annotations

import os
import sys

from tests.simulation.seeds import main

if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of strings have an order, too
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})
    sys.exit(main(sys.argv[1:]))
