"""Of diagnostics: the final answer, and the kernel's ISO-TP."""
