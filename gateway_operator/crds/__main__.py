"""Prints the CRDs (`python -m gateway_operator.crds`), or writes them to a folder given as argument, for the chart."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway_operator.crds.manifests import all_yaml, write_yaml


def main(arguments: list[str]) -> None:
    """Print or write the CRDs."""
    if arguments:
        write_yaml(Path(arguments[0]))
    else:
        sys.stdout.write(all_yaml())


if __name__ == "__main__":
    main(sys.argv[1:])
