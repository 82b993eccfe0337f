"""xLightFM (section 3.4 of the paper): codebook sizes searched under the memory limit.

``search_space`` has the candidates of each codebook and the bytes of architectures (section 3.4.1). ``gumbel`` has the
weights α of candidates, their draws and the memory limit (Eq. 9, 11 and 14), ``candidate_codebooks`` the
mixture of all candidates (Eq. 10), and ``search`` the alternating descent (Eq. 12 and 13, Algorithm 1). The sizes that
are found are tuned as LightFM's are.
"""
