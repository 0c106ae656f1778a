# SPDX-License-Identifier: Apache-2.0
"""The verb `models`: what is built in."""

from __future__ import annotations

from kilograd.commands import _common
from kilograd.commands._options import Json


def models(as_json: Json = False) -> None:
    """List the built-in models."""
    from kilograd import listing, zoo

    names = zoo.models()
    rows = [{"name": name, "about": _common.about(listing.member(zoo.__name__, "model", name))} for name in names]
    _common.show_list("models", rows, as_json=as_json)
