"""Web logs: formats, parsing, enrichment, reports, demo traffic."""
