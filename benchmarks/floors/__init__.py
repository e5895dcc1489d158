"""What the store is measured against: the same promises kept by SQL written by hand."""
