"""Vendors of push: APNs, FCM, a relay of one's own for the others, one that only says what it would do."""
