"""What an operator sees of a running agent: conditions, a page, metrics."""
