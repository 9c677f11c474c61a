"""The commands that only a notebook has; the others are those of `rain.cli`."""
