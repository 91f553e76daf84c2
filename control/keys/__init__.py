"""Server keys, token keys and API keys in the data folder."""
