"""The frame: what every program of ours that runs for long has around its own work.

Its configuration and the key it signs with, where secrets are read, what is logged, the health page, how it
is stopped, and what is missing in its installation. Knows of no cloud and no measurement.
"""
