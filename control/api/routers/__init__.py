"""One router per noun; each translates HTTP to one call of a service."""
