"""labgrid's messages."""
