"""The database: studies and trials as they are stored, and what keeps many processes out of each other's way."""
