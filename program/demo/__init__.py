"""`qianwan demo`: a real server, real clients, and an account of every message."""
