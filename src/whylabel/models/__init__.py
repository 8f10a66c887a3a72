"""Models as files: find, check, load and save them; and count their floating-point operations."""
