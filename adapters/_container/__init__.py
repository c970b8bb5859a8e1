"""Of containers: the engine, images, memory, and what an engine promises."""
