"""The demo: every party of the exchange as its own process on this machine, started only by command."""
