"""Numbers computed from trials, without figures and sentences."""
