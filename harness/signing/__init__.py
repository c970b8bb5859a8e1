"""Keys, in a file or in a token."""
