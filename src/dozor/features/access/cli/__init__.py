"""The command `dozor access`."""
