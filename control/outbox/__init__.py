"""Delivery of the durable event copy to servers of others: endpoints, their sinks, and who serves which."""
