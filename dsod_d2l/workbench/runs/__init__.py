"""Runs: folders, checkpoints, resuming, several devices around the loop."""
