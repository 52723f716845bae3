"""Attacks: signatures, their confirmation and scores."""
