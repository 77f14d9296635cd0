"""The content of the pages: documents in, words and positions of bars out. No I/O and no clock."""
