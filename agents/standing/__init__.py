"""A deployment that stays up, on one machine: `keepstream up`."""
