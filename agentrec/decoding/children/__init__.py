"""The best continuations of a set of beams: what every search asks an index at every level."""
