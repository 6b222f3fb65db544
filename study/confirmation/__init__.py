"""Confirms the winner: trainings on fresh repeats, the audit of pruning, and the only access to the test split."""
