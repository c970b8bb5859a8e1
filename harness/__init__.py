"""The pipeline: submission, plan, run, judge, certificate. Imports no adapter."""
