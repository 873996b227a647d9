"""Weights to start from: of our own networks and of classifiers."""
