"""Messages that people look at: what is held, what was reported, and what becomes of it."""
