"""Item scores of a recommender as probabilities of the next token."""
