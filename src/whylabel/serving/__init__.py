"""A trained model over HTTP: a process that answers requests, and one beside it that computes."""
