"""The face: the commands of `shipei` and what they print. Imports everything, imported by nothing."""
