"""xLightFM (section 3.4 of the paper): codebook sizes searched under the memory limit."""
