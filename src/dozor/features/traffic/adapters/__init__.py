"""Where traffic meets files, terminals, pages and tables of countries."""
