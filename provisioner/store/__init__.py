"""What an agent must not forget, in one SQLite file."""
