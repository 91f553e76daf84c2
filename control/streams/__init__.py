"""Numbered streams over the bus and the operations they carry."""
