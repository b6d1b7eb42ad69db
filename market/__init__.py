"""The market's rules as pure functions: no input or output, no clock, nothing but the standard library."""
