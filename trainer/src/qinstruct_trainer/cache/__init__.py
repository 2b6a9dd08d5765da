"""The commands of a cache: what is in it, whether it is whole, what may go, a copy of something.

`listing` looks, `check` reads every file, `choice` says what a person's conditions allow to
delete (pure), `prune` deletes it, `export` copies, `command` is the command line of all. They
believe nothing that is in the cache: a link is shown and never followed.
"""
