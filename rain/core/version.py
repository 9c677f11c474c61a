"""The version of Rain; the one in `pyproject.toml` is the same."""

VERSION = "0.1.0"
