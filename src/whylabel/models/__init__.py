"""Models as files: found, checked, loaded, saved; and what a pass through one costs."""
