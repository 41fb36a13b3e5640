"""Claims with their evidence, and the tables made of them."""
