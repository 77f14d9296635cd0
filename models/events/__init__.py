"""Events: the wire format, the properties of each event name, and the refusal of bad events."""
