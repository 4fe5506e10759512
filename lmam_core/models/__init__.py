"""The methods: LMAM, LMCM, what they are plugged into, and what they are compared with."""
