"""Chatrooms: no limit of members, no row per member."""
