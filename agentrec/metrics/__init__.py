"""Metrics as pure numpy functions; they also serve as rewards."""
