"""DeepCTR-Torch's DeepFM without a DNN."""
