"""Moderation: what a text says under its disguises, by lists of words, and what follows from it."""
