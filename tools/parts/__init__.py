"""What tools/generate.py writes, by source. Each part has `make(root) -> Made`."""
