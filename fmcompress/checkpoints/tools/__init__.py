"""How each tool lays its factorization machines out: one module or folder a tool."""
