"""The key files of a data folder, in the shapes the gateway core, the tokens and LBS want."""
