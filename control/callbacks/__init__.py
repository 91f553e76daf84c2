"""The way to the application's server, which is asked before things happen."""
