"""Fast forms of what models compute; each gives what its plain form gives."""
