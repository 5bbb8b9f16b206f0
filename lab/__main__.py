"""Lets `python -m lab` work."""

from lab.cli import main

main()
