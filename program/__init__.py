"""The `qianwan` program: what a person runs."""
