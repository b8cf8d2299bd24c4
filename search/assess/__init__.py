"""What a proxy's order is worth, and what a search will take, before it is begun."""
