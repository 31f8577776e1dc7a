# SPDX-License-Identifier: Apache-2.0
"""`make bench`: compare Pinfold with the systems that users choose instead, and with the kernel."""
