"""Lets `python -m bench` work."""

from bench.cli import app

app()
