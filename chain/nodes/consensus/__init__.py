"""Which branch holds, who seals and who votes: what validators do beside running."""
