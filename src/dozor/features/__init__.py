"""One folder per product, each a small hexagon of its own; features never import each other."""
