"""`qinstruct run`: the whole line as processes under one folder of this machine."""
