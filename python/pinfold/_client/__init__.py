# SPDX-License-Identifier: Apache-2.0
"""The caller's process: from a submitted call to the result that its caller gets.

`engine` owns one pool of the library and the calls in it.
"""
