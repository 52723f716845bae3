"""Where threats meets Hyperscan."""
