"""The search: the only package that knows Optuna and databases."""
