"""Constrained beam search: which beams go on, and how a model is asked."""
