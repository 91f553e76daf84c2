"""Weak networks on one machine: phones behind emulated links, and what gets through."""
