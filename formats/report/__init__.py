"""A page about an archive: pairs -> sampling -> measures, scores -> collect -> facts -> figures, tables -> page.

Stage: after the archive, beside `verify`. A sample is measured, never the whole of what is large; the page says how
much was looked at. Guide: `spec/guide/report.md`.
"""

from adiabat.formats.report.collect import collect_facts
from adiabat.formats.report.facts import ReportFacts, VariableFacts
from adiabat.formats.report.page import render_page, write_report

__all__ = ["ReportFacts", "VariableFacts", "collect_facts", "render_page", "write_report"]
