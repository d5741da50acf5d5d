"""One module per revision; they are never changed once released."""
