"""Trained artefacts behind the Recommender protocol."""
