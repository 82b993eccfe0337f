"""Memory reports of artifacts: from the header alone, without torch and faiss."""

from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.report import Report, report

__all__ = ["FieldReport", "Report", "report"]
