"""Dozor: one watch over servers, the web sites on them and the Telegram bots around them."""

__version__ = "0.1.0"
