"""The models and their training: from token ids to logits. Knows neither Optuna nor databases."""
