"""A bench before its first run: found, checked, qualified by its golden item."""
