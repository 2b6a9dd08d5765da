"""States of a run by name, each with the status that must be judged from it."""
