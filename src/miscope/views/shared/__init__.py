"""What views of several instruments share; a view itself lies in the folder of its instrument."""
