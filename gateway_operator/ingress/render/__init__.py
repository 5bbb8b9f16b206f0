"""Renderers: each turns the one plan into files for nginx. `static` writes everything as configuration text."""
