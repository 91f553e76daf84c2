"""What each store method does, written once for both engines: generators that yield SQL and receive rows."""
