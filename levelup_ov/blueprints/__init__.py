"""The HTTP interface: thin, it parses, calls the service and dumps."""
