"""xLightFM (section 3.4 of the paper): codebook sizes searched under the memory limit.

``search_space`` has the candidates of each codebook and the bytes of architectures (section 3.4.1). ``supernet`` trains
the numbers of all candidates, and ``candidate_codebooks`` is its layer of them; ``search`` runs one of two recipes:

- ``sampled``: paths are drawn by ``paths`` and trained, ``prices`` are what is expected of sizes and measured of them;
- ``darts``: the paper's alternating descent (Eq. 12 and 13, Algorithm 1) on the mixture of all candidates (Eq. 10),
  with the weights α, their draws and the memory limit (Eq. 9, 11 and 14) in ``gumbel``.

The sizes that are found are tuned as LightFM's are.
"""
