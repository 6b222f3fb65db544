"""The report: its pages, tables, figures and sentences."""
