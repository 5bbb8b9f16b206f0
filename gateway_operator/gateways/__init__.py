"""What every part must say alike of a Gateway: what it claims, who is served, how its objects are called."""
