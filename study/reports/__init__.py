"""What is told: report, page, tables, and the sentences between them."""
