"""LightFM (section 3.3 of the paper): product quantization whose codes move with the loss.

``method`` has its sizes: D subspaces with K codewords each, the same for all fields; codebooks start from k-means in
plain distance (Eq. 2, ``quantization.codebooks``). ``straight_through`` has the equations: the distance loss (Eq. 5)
and the assignment with its gradients (Eq. 6 to 8). ``code_assignment`` keeps codebooks and codes of some fields, and
``straight_through_codes`` is the layer of their latent embeddings, with what trains these.
"""
