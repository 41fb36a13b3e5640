"""Recipes: the steps from data to report, each kept as an artefact."""
