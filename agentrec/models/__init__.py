"""Recommenders small enough to hold in the head; a file that binds METHOD is a method."""
