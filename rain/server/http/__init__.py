"""The server's HTTP endpoint: what is going on, read-only, for the user's browser and scripts."""
