"""What networks are made of: their base class, layers, embeddings of words, pretrained encoders."""
