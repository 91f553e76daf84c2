"""Accounts, devices, relations and presence."""
