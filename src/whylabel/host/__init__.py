"""The process and the computer it runs on: what they are, what is said on the terminal, how files appear."""
