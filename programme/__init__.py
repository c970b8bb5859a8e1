"""The certification programme: certificates with a life, and who may say so. `verifier` is one file for others to embed."""
