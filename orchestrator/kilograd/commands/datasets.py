# SPDX-License-Identifier: Apache-2.0
"""The verb `datasets`: what there is to learn."""

from __future__ import annotations

from kilograd.commands import _common
from kilograd.commands._options import Json


def datasets(as_json: Json = False) -> None:
    """List the data sets."""
    from kilograd import data, experiment, listing

    names = experiment.datasets()
    rows = [{"name": name, "about": _common.about(listing.member(data.__name__, "data set", name))} for name in names]
    _common.show_list("datasets", rows, as_json=as_json)
