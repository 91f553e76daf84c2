"""Who changed what: append-only, hash-chained files, written before a change is done and after it."""
