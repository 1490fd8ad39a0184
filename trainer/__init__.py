"""Train any model on any data with any loss and any optimizer, chosen by name on one command line."""

__version__ = "0.1.0"
