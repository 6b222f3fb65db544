"""Numbers to logits, and how to train that. Knows neither Optuna nor databases."""
