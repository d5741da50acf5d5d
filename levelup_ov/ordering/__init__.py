"""The use cases: what happens to a request between the wire and the adapter."""
