"""What one reads of a variant: its timeline, what moved first, and the page that binds its views."""
