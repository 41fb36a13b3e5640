"""Finds, renders and hashes the prompt files of the top-level folder."""
