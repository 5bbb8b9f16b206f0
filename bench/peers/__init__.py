"""Builds the programs that ours is measured beside, from sources that lie outside the checkout."""
