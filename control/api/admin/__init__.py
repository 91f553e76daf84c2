"""The admin API (`/v1/admin`): one table of routes, each with its role, and one way through all of them."""
