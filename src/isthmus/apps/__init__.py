"""What people run: the command line, and the handle on a trained model."""
