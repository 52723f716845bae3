"""One module per page; each has `draw(view)`."""
