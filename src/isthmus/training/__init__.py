"""The trainer: plays the turns of a model, and keeps everything that a run needs to go on."""
