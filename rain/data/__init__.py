"""Bytes to Python values and back; the only package that touches cloudpickle."""
