"""`qinstruct plan`: what a run would take, and which nodes of a cluster could ever run it."""
