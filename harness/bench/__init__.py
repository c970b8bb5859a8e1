"""To have a bench for oneself, and to leave it safe."""
