"""Compact files unpacked by the native core, many times as fast as numpy does it."""

import ctypes

from fmcompress.errors import ArtifactError
from fmcompress.serve.native_library import NO_ARTIFACT, OK, Unpacked, native_library
from fmcompress.types import Float16Array, UInt8Array

_MESSAGE_BYTES = 512


def unpack(data: UInt8Array, values: Float16Array, codes: UInt8Array, network: UInt8Array) -> bool:
    """Fill in what a compact file holds; return whether there is a native core, and it could.

    Args:
        data: the file, uint8 (bytes,), its header and its seal checked.
        values: zeros for its values, float16 (values,).
        codes: for its codes, uint8 (bytes,).
        network: for its dense layers, uint8 (bytes,).

    Raises:
        ArtifactError: its codes are damaged.
    """
    library = native_library()
    if isinstance(library, str) or not hasattr(library, "fmc_unpack_compact"):
        return False
    into = Unpacked(*(part for array in (values, codes, network) for part in (array.ctypes.data, array.nbytes)))
    message = ctypes.create_string_buffer(_MESSAGE_BYTES)
    status = library.fmc_unpack_compact(data.ctypes.data, len(data), into, message)
    if status == NO_ARTIFACT:
        raise ArtifactError(message.value.decode(errors="replace"))
    if status != OK:  # half of it may be filled in
        for array in (values, codes, network):
            array[...] = 0
    return bool(status == OK)
