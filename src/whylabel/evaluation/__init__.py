"""Evaluation: how good the models are, and whether reasoning was worth its cost.

Start at `evaluate.py`. `metrics.py` scores one model, `paired.py` compares two models on the same rows, `floors.py`
has the simple models that the others must beat, `predictions.py` writes and reads the file of all predictions.
"""
