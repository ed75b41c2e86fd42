"""From declarations of features to what a fold counts, what a row holds, and the formulas that read it."""
