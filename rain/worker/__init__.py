"""The worker: holds data, fetches what its tasks need, runs them in executor processes."""
