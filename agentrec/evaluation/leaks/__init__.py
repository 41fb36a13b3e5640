"""Leak checks: what a split, a prompt or a trained model may have seen."""
