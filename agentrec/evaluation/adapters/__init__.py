"""Recommenders brought along: files, functions and services, checked before they are scored."""
