"""Each figure that the README claims, measured against its peer in one run."""
