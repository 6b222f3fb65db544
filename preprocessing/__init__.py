"""Texts to numbers: load, clean, tokenize, build the vocabulary, encode, split, pad; prepared once, then shared."""
