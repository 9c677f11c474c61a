"""The server: decides what runs where; no result larger than 64 KiB passes through it."""
