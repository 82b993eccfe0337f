"""The memory report as a page of HTML: one file, no network, no scripts."""

from fmcompress.reporting.page.page import to_html

__all__ = ["to_html"]
