"""Measures what the project promises, beside the programs that people use today.

`python -m bench` runs everything, `python -m bench engine` one benchmark. Figures of a run are comparable with each
other only: both programs run on the same machine, one after the other, on the same objects.
"""
