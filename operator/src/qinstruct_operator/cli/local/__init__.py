"""`qinstruct run`: prep and training as processes of this machine, under one folder.

May import the core's plan and the trainer's contract, but no cluster.
"""
