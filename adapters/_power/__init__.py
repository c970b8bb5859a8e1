"""Of supplies: SCPI, and when something was switched that tells no time."""
