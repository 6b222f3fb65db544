"""Numbers computed from trials, with the reason where a number would mislead; draws nothing."""
