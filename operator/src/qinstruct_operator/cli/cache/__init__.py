"""`qinstruct cache`: what is in a cache of prepared data, whether it is whole, what may go.

`cache_command` has the commands, `options` reads ages and sizes, `show_cache` draws, `cache_job`
is the Job for a cluster's cache. The work is the trainer's (`qinstruct_trainer.cache`), which is
started as a process. May import `core`, cli's shared modules and the trainer's contract.
"""
