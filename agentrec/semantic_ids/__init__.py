"""Item vectors to semantic IDs: quantisers, collisions, the vocabulary of tokens."""
