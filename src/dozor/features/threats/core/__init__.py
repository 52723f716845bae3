"""The pure working parts of threats."""
