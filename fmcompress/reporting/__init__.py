"""Memory reports of artifacts: from the header alone, without torch and faiss."""

from fmcompress.reporting.report import FieldReport, Report, report

__all__ = ["FieldReport", "Report", "report"]
