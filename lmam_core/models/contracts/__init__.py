"""What a fusion method and a backbone are, and the registers that their files enter them in."""
