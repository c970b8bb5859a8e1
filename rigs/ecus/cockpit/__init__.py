"""The reference cockpit ECU: an item under test. Imports nothing but the standard library and itself."""
