"""Lets `python -m gateway_operator` be the same program as the console script."""

from gateway_operator.cli import main

main()
