"""Durable state of the IM service: what a store guarantees in `faces`, records, and two engines."""
