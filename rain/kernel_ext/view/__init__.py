"""The live view of a session in a notebook or a terminal."""
