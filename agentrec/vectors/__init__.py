"""Item texts to vectors; a file that binds METHOD is a method."""
