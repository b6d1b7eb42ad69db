"""Histories on whole networks of nodes: minutes long, run by `make test-network`, not by `make test`."""
