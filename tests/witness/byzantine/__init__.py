"""Witnesses that lie, and what their lies come to (rules W12 to W14)."""
