# SPDX-License-Identifier: Apache-2.0
"""What backends beyond this process share: how calls and results travel, and a backend's surface.

A call or a result travels as a *payload* (docs/design.md, "Payloads"): its first segment is a JSON
object, the *head*; the others are the codec's own segments, and the contents of files and streams.
Whoever carries a payload reads its head at most. Arguments are read in the worker, and values in
the process that asked.
"""
