"""Judge a run: what was read of its children becomes its complete status. Pure."""
