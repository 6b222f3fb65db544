"""Numbers out of trials; draws nothing and tells nothing."""
