"""Many gateway processes from one command."""
