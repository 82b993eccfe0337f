"""Memory reports of artifacts: from the header alone, without torch and faiss."""

from fmcompress.reporting.report import Report, report
from fmcompress.reporting.report_data import FieldReport
from fmcompress.reporting.tables_report import TablesReport

__all__ = ["FieldReport", "Report", "TablesReport", "report"]
