"""Engines outside that judge texts before, and media after, others have them."""
