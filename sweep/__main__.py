"""`python -m sweep` is the command `sweep`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, in which any file may be called like a module
    from sweep.cli import main

    main()
