"""The sign-off page and the comparison of two versions, as HTML that needs nothing but this server."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from monai_sfda.evaluation.report_content import VERDICTS
from monai_sfda.label.adaptation.before_after import Comparison
from monai_sfda.label.adaptation.signing_off import described, models_described
from monai_sfda.label.server.roles import User

_MOST_JOBS, _MOST_CHANGES = 20, 20


def sign_off_page(app: Any, user: User) -> str:
    """Models, versions, verdicts, jobs, and the buttons that the user's roles allow."""
    models = models_described(app.models)
    for model in models:
        model["log"] = []
        if model["fault"] is None:
            changes = app.models[model["name"]].store.log(model["name"]).changes
            model["log"] = list(changes)[: -_MOST_CHANGES - 1 : -1]
    jobs = [app.jobs.status(job.id) for job in reversed(app.jobs.jobs()[-_MOST_JOBS:])]
    return _template("sign_off.html.j2").render(
        models=models,
        jobs=jobs,
        user=user,
        activation=app.jobs.activation,
        verdicts=VERDICTS,
        live=any(job["status"] in ("RUNNING", "SUBMITTED") for job in jobs),
    )


def comparison_page(found: Comparison, name: str, user: User) -> str:
    """A picture a study, before and after."""
    return _template("comparison.html.j2").render(
        name=name,
        before=described(found.before, -1),
        after=described(found.after, -1),
        places=range(len(found.studies)),
        user=user,
        verdicts=VERDICTS,
    )


@cache
def _template(name: str) -> jinja2.Template:
    loader = jinja2.PackageLoader("monai_sfda.label.adaptation", "templates")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        name
    )
