"""The training of any network: its configuration, the epoch loop, optimizer, precision, checkpoints and scores."""
