"""A trained model for other runtimes: written, and asked there whether it still answers as it did."""
