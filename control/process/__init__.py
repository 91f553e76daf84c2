"""One process: its parts in order, signals, HTTP server, heap."""
