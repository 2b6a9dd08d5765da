"""`qinstruct status` and `qinstruct logs`: what a cluster knows of its runs."""
