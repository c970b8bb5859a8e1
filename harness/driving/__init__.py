"""Traffic around the device: scenarios, physics, sensors, and the loop that is closed over the bus."""
