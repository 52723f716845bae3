"""Measurements of Dozor, on their own: `python -m bench`. Nothing here is part of the product."""
