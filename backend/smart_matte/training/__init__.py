"""Training of our own weights: rendered pictures with known truth, losses, the loop."""
