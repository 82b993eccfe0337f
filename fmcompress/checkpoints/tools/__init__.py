"""How each tool lays its factorization machines out: one module a tool."""
