"""Of real-time buses: the process that owns one, its cycles, stamps, timing and state."""
