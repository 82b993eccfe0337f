"""A process of several that save a model with torch.distributed.checkpoint: ``RANK WORLD_SIZE STORE FOLDER``."""

import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

V = torch.arange(23 * 3, dtype=torch.float32).reshape(23, 3)
W = torch.arange(23, dtype=torch.float32)[:, None]
B = torch.ones(1)


def main(rank, world_size, store, folder):
    """Save the model with its tensors cut along rows, along columns, and not at all."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    mesh = init_device_mesh("cpu", (world_size,))
    for name, cut in {"rows": Shard(0), "columns": Shard(1)}.items():
        state = {
            "embedding.embedding.weight": distribute_tensor(V, mesh, [cut]),
            "linear.fc.weight": distribute_tensor(W, mesh, [Shard(0)]),
            "linear.bias": distribute_tensor(B, mesh, [Replicate()]),
        }
        dcp.save({"model": state, "epoch": 3}, checkpoint_id=f"{folder}/{name}")
        dcp.save(state, storage_writer=HuggingFaceStorageWriter(f"{folder}/{name}-safetensors", save_distributed=True))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
