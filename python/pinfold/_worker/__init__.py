# SPDX-License-Identifier: Apache-2.0
"""The code that runs inside a template and its workers.

The caller's process imports only two C extensions of it: `box._box`, which probes the machine, and
`ext._runtime`, which removes base directories.

`boot.template` is the script that starts the interpreter. `boot.preload` loads the pool's modules
and forks. `call.worker` receives calls from the pool, and `call.execute` runs them.
"""
