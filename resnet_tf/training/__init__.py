"""Training: one step, and the loop that decides when to do what."""
