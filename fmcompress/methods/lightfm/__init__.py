"""LightFM (section 3.3 of the paper): product quantization whose codes move with the loss."""
