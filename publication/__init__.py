"""What a programme publishes: a static site for any web server, of what vendors released and nothing else."""
