"""A simulated cluster around the fake one, and scenarios of a run in it."""
