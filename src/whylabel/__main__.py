"""`python -m whylabel`."""

from whylabel.cli.main import entry

entry()
