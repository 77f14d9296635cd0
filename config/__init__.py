"""What an operator may change: the environment, the topics, and the parameters of the models."""
