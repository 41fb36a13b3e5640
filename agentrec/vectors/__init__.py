"""Item texts to item vectors: one file per method, picked by name with `agentrec.vectors.item_vectors`."""
