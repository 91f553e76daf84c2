"""Phones behind NATs on a virtual clock: what ways to choose a heartbeat interval cost, side by side."""
