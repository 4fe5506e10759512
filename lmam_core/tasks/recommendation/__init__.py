"""Which item is clicked next in a shopping session: DHCN with and without LMAM."""
