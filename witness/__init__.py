"""The eyes: a node that measures, at secret times, the machines its committees watch, and ticks what it
found.

This package imports `chain` and `market` only. It never logs in to a machine, holds no provider's
credentials, and reads a provider's control plane through its gateway alone.
"""
