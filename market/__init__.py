"""The market's rules as pure functions: no input or output, no clock; what else may be imported says ADR 9."""
