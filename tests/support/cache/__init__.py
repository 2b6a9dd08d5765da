"""For tests of caches: some units, and races for them."""
