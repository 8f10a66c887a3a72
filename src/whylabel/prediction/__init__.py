"""What a trained model says of a text, in each of its modes, and how sure it is."""
