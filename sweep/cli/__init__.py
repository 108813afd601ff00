"""The command `sweep`: verbs, options, exit codes.

verbs.py     the verbs and their options
output.py    what they print
streams.py   where it is printed
entry.py     runs the command and ends the process
"""

from sweep.cli.entry import execute, main

__all__ = ["execute", "main"]
