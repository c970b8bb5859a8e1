"""What people hand in: submissions, suites, profiles, rigs, archives; loaded with every mistake named at once."""
