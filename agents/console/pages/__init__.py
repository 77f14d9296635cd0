"""What the pages say: documents in, words and places of bars out. No I/O and no clock."""
