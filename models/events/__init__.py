"""Events: the wire format, the properties of each name, and how bad events are refused."""
