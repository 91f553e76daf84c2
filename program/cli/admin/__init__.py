"""The verbs of operators: each asks the admin API, none touches a file of the server."""
