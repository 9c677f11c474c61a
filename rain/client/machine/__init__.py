"""What a client knows of its sessions: a pure state machine."""
