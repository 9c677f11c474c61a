"""What a client knows of its requests and sessions: a pure state machine, events in, effects out."""
