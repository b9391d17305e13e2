"""Report of a study: an offline HTML page, figures for print, and the front as CSV. It only formats measurements and
predictions; JSON documents are made in `documents`, printed tables in `cli`."""
