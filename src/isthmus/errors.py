"""What can go wrong by the user's hand. Each message says what was expected, what was got, and what to do.

IsthmusError
├── ConfigError       an option or a combination of options makes no sense
├── DataError         images that are missing, unreadable or unfit
├── CapabilityError   a model is asked for what it cannot do
├── CheckpointError   a run folder that is missing, torn, foreign or of another version
├── TrainingError     training cannot go on: losses not finite, disk full
└── OutputError       the place to write to is taken or cannot be written

The command line prints the message alone and exits with code 2.
"""


class IsthmusError(Exception):
    """Base of all errors that Isthmus raises on purpose."""


class ConfigError(IsthmusError):
    """An option or a combination of options makes no sense."""


class DataError(IsthmusError):
    """Images that are missing, unreadable or unfit."""


class CapabilityError(IsthmusError):
    """A model is asked for what it cannot do."""


class CheckpointError(IsthmusError):
    """A run folder that is missing, torn, foreign or of another version."""


class TrainingError(IsthmusError):
    """Training cannot go on: losses that are not finite, a full disk."""


class OutputError(IsthmusError):
    """The place to write to is taken or cannot be written."""
