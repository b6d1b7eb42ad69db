"""The loop and its parts: what is looked at, what is decided, what is done."""
