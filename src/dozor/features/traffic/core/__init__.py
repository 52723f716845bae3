"""The pure working parts of traffic."""
