"""From media to features: `extract.extract`."""
