"""Words that every part of Dozor shares. Standard library only."""
