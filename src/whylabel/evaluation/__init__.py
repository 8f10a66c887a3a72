"""Evaluation: how good the models are, and whether reasoning was worth having.

Start at `evaluate.py`. `metrics.py` scores one model, `paired.py` compares two on the same rows, `floors.py`
has the simple models beside which the others must stand, `predictions.py` is the file of all predictions.
"""
