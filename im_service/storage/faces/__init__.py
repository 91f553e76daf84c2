"""What a store does, noun by noun: the only place where a call, its guarantee and its operation meet."""
