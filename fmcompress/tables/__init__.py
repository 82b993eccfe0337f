"""Tables of vectors of any other model: read from its file, and quantized to a budget."""

from fmcompress.tables.embedding_tables import EmbeddingTables
from fmcompress.tables.files import load_tables
from fmcompress.tables.quantizing import quantize_tables

__all__ = ["EmbeddingTables", "load_tables", "quantize_tables"]
