"""The HTTP interface, a thin layer: parse the request, call the service, write the response."""
