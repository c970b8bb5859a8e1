"""The boot loader of a simulated board: boots the application of the valid slot, or takes a new one over UDS."""
