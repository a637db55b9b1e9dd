"""What one person runs on one machine: dissect, evaluate, fit and measure a dissector, train phantom targets."""
