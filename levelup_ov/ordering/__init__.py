"""The use cases: validate, submit, list and show, between HTTP and the adapter."""
