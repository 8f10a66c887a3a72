"""Text formats: labels, prompts, words, and cells of tables."""
