"""Who runs trials: this process, processes of this machine, or tasks of a cluster."""
