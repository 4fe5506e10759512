"""What was measured once and is kept as CSV under `data/`, and closed formulas of costs."""
