"""Words and what is made of them: labels, prompts, cells of tables."""
