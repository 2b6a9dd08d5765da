"""Plan a run: `make_plan` turns the document into a finished, frozen `Plan`. Pure."""
