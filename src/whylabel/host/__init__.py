"""The process and its computer: what they are, how messages reach the terminal, how files are written."""
