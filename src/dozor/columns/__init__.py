"""The record's Arrow schema and the column helpers that several features use."""
