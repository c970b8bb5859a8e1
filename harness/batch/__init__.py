"""Many runs: campaigns over combinations, sweeps over conditions."""
