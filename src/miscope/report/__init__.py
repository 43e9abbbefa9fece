"""The report of a variant: its timeline, which measure changed first, and the page with all its views."""
