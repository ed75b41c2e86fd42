"""What the demo asks of the running service, and how it shows the answers."""

from __future__ import annotations

from typing import Any

import httpx
from rich.markup import escape

from leads.errors import LeadsError
from leads.policies import Policies
from leads.screens import console, note, table

REVIEWER = "demo-reviewer"
_TEXT = "Subscribe to my channel and get free gift cards at www.example.com !!!"


class Api:
    """The running service, as one key sees it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **params: str | int) -> Any:
        return self._answer(self._client.get(path, params=params))

    def post(self, path: str, body: Any) -> Any:
        return self._answer(self._client.post(path, json=body))

    def _answer(self, response: httpx.Response) -> Any:
        if response.is_error:
            raise LeadsError(f"{response.request.method} {response.request.url.path}: {response.text[:300]}")
        return response.json()


def top_leads(api: Api, policies: Policies, *, per_harm: int = 4) -> None:
    """The best leads of each harm that has a model."""
    rows = []
    for harm in policies.harms:
        found = api.get("/v1/leads", harm=harm, limit=per_harm)["leads"]
        for i, lead in enumerate(found):
            why = "; ".join(reason["text"] for reason in lead["reasons"][:2])
            rows.append(
                (
                    harm if i == 0 else "",
                    f"{lead['subject']['typeId']}:{lead['subject']['id']}",
                    f"{lead['score']:.3f}",
                    f"{lead['priority']:.1f}",
                    escape(why) or "–",
                    f"{lead['model']} v{lead['modelVersion']}",
                )
            )
        if not found:
            rows.append((harm, "–", "", "", "[dim]no lead: no model, or nothing above its threshold[/dim]", ""))
    columns = ("harm", "subject", "score", "priority", "why", "model")
    console.print(table("GET /v1/leads", columns, rows, right=("score", "priority")))


def decide_one(api: Api) -> None:
    """Claim the best lead and decide it; a lead decided by an earlier demo is enough."""
    decided = api.get("/v1/leads", state="decided", limit=1)["leads"]
    if decided:
        lead = decided[0]
        note(f"  decided by an earlier run: {lead['harm']} on {_subject(lead)} is {lead['verdict']}")
        return
    lead = _held(api) or _claim(api)
    answer = api.post(
        f"/v1/leads/{lead['id']}/decision",
        {"verdict": "violating", "reviewer": REVIEWER, "reason": "Decided by the demo."},
    )
    note(f"  POST /v1/leads/claim          → {lead['harm']} on {_subject(lead)}, shown without its score")
    note(f"  POST /v1/leads/…/decision     → {answer['verdict']}, by {answer['reviewer']}")
    for entry in api.get(f"/v1/leads/{lead['id']}/audit")["entries"]:
        note(f"  [dim]audit  {entry['at'][:19]}Z  {entry['action']:<10} {entry['actor']}[/dim]")


def score_a_text(api: Api) -> None:
    """Score a text that was never sent before."""
    answer = api.post(
        "/v1/score", {"subjects": [{"id": "new", "typeId": "comment", "data": {"text": _TEXT}}], "reasons": True}
    )
    rows = [
        (
            score["harm"],
            f"{score['score']:.3f}",
            score["tier"],
            escape("; ".join(reason["text"] for reason in score["reasons"][:2])),
            f"{score['model']} v{score['modelVersion']}",
        )
        for score in answer["results"][0]["scores"]
    ]
    note(f"  [dim]{_TEXT}[/dim]")
    console.print(table("POST /v1/score", ("harm", "score", "tier", "why", "model"), rows, right=("score",)))


def _held(api: Api) -> Any:
    """A lead that a demo claimed before it was interrupted."""
    held = api.get("/v1/leads", state="claimed", limit=200)["leads"]
    return next((lead for lead in held if lead["claimedBy"] == REVIEWER), None)


def _claim(api: Api) -> Any:
    claimed = api.post("/v1/leads/claim", {"n": 1, "reviewer": REVIEWER})["leads"]
    if not claimed:
        raise LeadsError("There is no lead to claim.", remedy="Begin again: leads demo --fresh")
    return claimed[0]


def _subject(lead: Any) -> str:
    return f"{lead['subject']['typeId']}:{lead['subject']['id']}"
