"""The market's rules as pure functions: no input or output, no clock; ADR 9 says what it imports."""
