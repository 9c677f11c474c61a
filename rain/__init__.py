"""Rain: distributed computations from Python."""
