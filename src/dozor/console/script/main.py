"""The script that Streamlit runs for every visit and every change."""

from dozor.console.frame import run

run()
