"""A whole cluster on one machine, in one folder: engines, two of each role, and what one does with them."""
