"""The ways to quantize: ``auto``, and the paper's LightFM and xLightFM."""
