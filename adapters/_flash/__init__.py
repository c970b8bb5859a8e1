"""Of flashing: attempts with their marks, and which software is on the target."""
