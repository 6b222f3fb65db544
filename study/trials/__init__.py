"""What happens inside one trial."""
