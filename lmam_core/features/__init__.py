"""From media to features; `extract.extract` is the door."""
