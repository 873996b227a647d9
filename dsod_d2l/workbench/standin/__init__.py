"""The stand-in: rendered pictures of a small yellow creature."""
