"""One module per conversation: both directions in one file, unions at the bottom."""
