"""Prediction with a trained model: labels and probabilities in each of its modes."""
