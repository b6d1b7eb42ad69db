"""Who is let in: a node's card, the invitation, joining, and the allow-list that follows `Members`."""
