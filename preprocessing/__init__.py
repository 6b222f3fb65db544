"""From texts to numbers: load, split, clean, tokenize, build the vocabulary, encode, pad; cached for all processes."""
