"""What commands show: lines and tables made of what the domain functions return."""
