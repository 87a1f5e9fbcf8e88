"""How parameters are chosen from ranges."""
