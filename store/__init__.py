"""The evidence store: what a lab keeps of its runs, by content, as an OCI image layout."""
