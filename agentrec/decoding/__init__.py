"""Constrained decoding: the trie of allowed items and beam search."""
