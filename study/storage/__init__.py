"""The database: how studies and trials are stored, and the locks between the processes that use them."""
