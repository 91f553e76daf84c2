"""What is remembered of the living: users, sessions, rooms, routes."""
