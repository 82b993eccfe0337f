"""Training by epochs, whatever is trained: the loop, its state on the disk, its history."""
