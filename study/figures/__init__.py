"""Drawing only: the numbers come from trials and analysis, the texts from the report."""
