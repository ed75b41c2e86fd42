"""The introduction of the OpenAPI document: what a developer needs before the first request."""

from __future__ import annotations

from leads_client.schemas.base import MAX_BATCH
from serving.http.bodies import MAX_BODY_BYTES

INTRODUCTION = f"""\
Lead Serving finds what violates a platform's policies. Send what happens on the platform, and get **scores**: how
likely a subject, such as a comment or an account, violates the policy of a **harm**, such as spam, and why. Subjects
with high scores become **leads** in a queue. Reviewers claim leads and decide them, and their decisions train the next
versions of the models.

The API is JSON over HTTP. Names are in camelCase, and times in RFC 3339 with an offset, such as
`2026-03-01T12:00:00Z`. A POST needs `Content-Type: application/json`.

## Keys and scopes

Every request needs a key: `leads keys create` makes one. Send it as `X-API-Key`, or as `Authorization: Bearer`. A key
has scopes, and may be limited to some harms.

| scope | allows |
|---|---|
| `score` | scoring |
| `events:write` | sending items, signals, plays and other events |
| `leads:read` | listing leads, reading a lead and its audit trail, and the figures of the queue |
| `leads:decide` | claiming, extending, releasing and deciding leads as the key's own reviewer |
| `act_as` | with `leads:decide`: naming any reviewer, for review tools that act for many people |
| `monitoring:read` | what monitoring measured, and alerts |
| `monitoring:write` | acknowledging alerts and silencing rules |
| `metrics` | reading `/metrics` |
| `admin` | everything; what needs it is recorded |

## Errors

Every error is a problem document (RFC 9457, `application/problem+json`), described by the schema `Problem`. `detail`
says what is wrong and what to do next, and `errors` where. `request_id` identifies the request in the service's log,
and is also in the header `X-Request-Id`; to choose it, send this header. Unknown fields and unknown query parameters
are errors.

## Repeating requests

GET requests and `POST /score` change nothing, so you can repeat them. For other requests, send an `Idempotency-Key`,
such as a UUID: within a day, the same request with the same key takes effect once, and gets the same response with
`Idempotency-Replayed: true`. An event with an `eventId` is stored once, however often it is sent. Repeat a request
after 408, 429, 502, 503 or 504, or if there is no response; after 429 and 503, wait for `Retry-After` seconds.

## Pages

`GET /leads` returns up to `limit` leads. To get the next ones, send `nextCursor` of the response as `cursor`,
unchanged. It is null on the last page.

## Limits

A request may have {MAX_BATCH:,} entries and {MAX_BODY_BYTES // 1024**2} MiB. By default, a key may make 500
requests per second, of which a large request counts as several, and a reviewer may hold 100 leads at a time.

## Versions

`/v1` is part of every address. Within it, requests that work today continue to work. We may add operations, optional
fields of requests, and fields of responses, so ignore fields that you don't know. Where a field lists its values, it
gets no others; other strings, such as flags, codes of reasons and actions, may get new values. Responses to requests
with a valid key have the version of this document in the header `X-API-Version`.
"""
