"""Events: the wire format, what each name may carry, and how a bad one is refused."""
