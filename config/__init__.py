"""What an operator may change: the environment, the topics, and the parameters of the models."""

#: The release; ``pyproject.toml`` reads it from here.
VERSION = "0.1.0"
