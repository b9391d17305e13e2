"""The report: one offline page a person can look at, figures for print, and the front as a table a program can read."""
