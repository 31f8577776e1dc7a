"""What runs inside a template and its workers.

`template` is the script that the interpreter is started with; `preload` loads what the pool asks
for and forks; `worker` stands between the pool and one call, which `execute` runs. Nothing here is
imported by the caller's process, but for `wire`.
"""
