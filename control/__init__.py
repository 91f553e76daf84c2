"""The control plane: the `qianwan` program, its HTTP API, tokens, LBS, routing, bus and the wiring of a node.

This is the only folder that builds objects from settings; nothing is built when a module is imported.
"""
