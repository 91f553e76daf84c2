"""Groups: members with roles, up to 5,000."""
