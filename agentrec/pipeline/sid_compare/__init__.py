"""Several semantic IDs of one catalogue beside each other: on the same vectors, and under the same generator."""
