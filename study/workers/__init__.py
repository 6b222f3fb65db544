"""Workers that run trials: this process, processes on this machine, or tasks on a cluster."""
