"""The page of `whylabel serve`: to try models, label files, look at a run's errors and review its reasonings."""
