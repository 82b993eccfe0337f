"""The release gate: whether artifacts keep their limits of size and quality."""

from fmcompress.gates.check import check
from fmcompress.reporting.verdict import Check, Verdict

__all__ = ["Check", "Verdict", "check"]
