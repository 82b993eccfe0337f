"""Where heavy work is done: by numpy and faiss on the CPU, or by torch on another device."""
