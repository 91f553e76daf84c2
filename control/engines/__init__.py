"""The way to engines outside that judge messages."""
