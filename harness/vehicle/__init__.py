"""What a suite speaks to: the device by names and values, its buses, its console, its diagnostics."""
