"""What may be searched: the choices, the budget, the members."""
