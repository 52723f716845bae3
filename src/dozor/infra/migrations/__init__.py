"""Every shape that the state database had, one script after another; `infra/migrating.py` runs them.

A script says literally what it changes and imports nothing of the program, whose tables are those of today.
"""
