"""The report: an offline HTML page, figures for print, and the front as CSV."""
