"""One module for each command; none imports torch before it is called."""
