"""What is measured, and against which peer or limit. ``make bench`` runs all of it and prints ratios."""
