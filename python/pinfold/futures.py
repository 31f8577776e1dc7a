# SPDX-License-Identifier: Apache-2.0
"""The future of a call."""

from __future__ import annotations

from pinfold._client.future import CallFuture

__all__ = ["CallFuture"]
