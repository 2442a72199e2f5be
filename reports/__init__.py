"""From a folder of runs to tables, figures and one page; reads files only and never imports torch."""

from reports.errors import ReportError
from reports.report import Report, write_report
from reports.terminal import print_report, show_report

__all__ = ["Report", "ReportError", "print_report", "show_report", "write_report"]
