"""The commands of traffic; the app gives them what they work with."""
