"""Drawing only: what is drawn comes from trials and analysis, what is said of it from the report."""
