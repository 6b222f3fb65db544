"""Files of new texts, labelled in the format that they have."""
