"""Interactions, items, splits, loaders and the simulated shop."""
