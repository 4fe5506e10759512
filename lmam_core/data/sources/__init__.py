"""One module per source of data: a record of what it is, and a builder that turns its arrays into a Dataset."""
