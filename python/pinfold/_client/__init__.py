"""The caller's process: from a call that is submitted to the result that its caller gets.

`engine` owns one pool of the library and the calls in it.
"""
