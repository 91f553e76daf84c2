"""What the application's server is asked before it happens."""
