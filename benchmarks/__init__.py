"""How fast Rain is, beside others; nothing here takes a path that users do not take."""
