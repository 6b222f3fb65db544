"""Whether the winner is real: trainings on fresh repeats, the audit of pruning, and the one door to the test split."""
