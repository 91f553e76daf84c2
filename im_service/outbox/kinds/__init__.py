"""Every kind of event of the durable copy and what it tells: writers and the schema use these."""
