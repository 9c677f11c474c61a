"""The worker's decisions: a pure state machine, events in, effects out."""
