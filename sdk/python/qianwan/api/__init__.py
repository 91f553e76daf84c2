"""The calls of the service as typed methods: thin, one call each. docs/MESSAGES.md says what they mean."""
