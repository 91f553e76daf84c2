"""Messages in order and once, in both directions, and how far the application has read."""
