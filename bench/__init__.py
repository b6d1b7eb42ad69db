"""Measurements beside the numbers of the plan: `make bench`, or `python -m bench NAME`."""
