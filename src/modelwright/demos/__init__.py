"""Problems that run without a network: each writes a project's folder, data and problem.yaml.

To add one, write a module with `write(folder)` and give it a line in `DEMOS`.
"""

from __future__ import annotations

from modelwright.registry import Table

DEFAULT = "pydocs"

DEMOS = Table(
    "demo",
    {
        "pydocs": "modelwright.demos.pydocs:write",
        "digits": "modelwright.demos.digits:write",
        "tumours": "modelwright.demos.tables:write_tumours",
        "diabetes": "modelwright.demos.tables:write_diabetes",
    },
)
"""name -> `write(folder)`, which puts the data and a problem.yaml into `folder`, which exists."""
