"""The Universal Commerce Protocol: agents order through checkout sessions. Loaded only if agents have keys."""
