"""Writes the report of an experiment: the same as `sweep report NAME`."""

import sys

from sweep.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["report"]
    main()
