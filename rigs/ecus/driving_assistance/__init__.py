"""The reference driving-assistance ECU: an item under test. Imports nothing but the standard library and its own."""
