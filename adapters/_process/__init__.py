"""Of programs: how they are started, bounded, and ended."""
