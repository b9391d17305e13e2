"""The report: an offline HTML page, figures for print, and the front as CSV. It only formats what a study measured and
predicted; JSON documents and printed tables are elsewhere."""
