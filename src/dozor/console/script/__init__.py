"""A folder of its own for Streamlit's script: a folder `pages` beside it would become its pages."""
