"""The standing of a session while it works: followed, and shown as HTML, as text and as a widget."""
