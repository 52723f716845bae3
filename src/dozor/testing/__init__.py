"""Public doubles for tests, Dozor's own and its users'."""
