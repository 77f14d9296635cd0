"""The programs: the Faust agents, and the doors through which people and monitoring come in."""
