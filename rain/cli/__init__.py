"""The command line: one click tree, one module per verb."""
