"""Shipped fakes and conformance suites for users' own methods."""
