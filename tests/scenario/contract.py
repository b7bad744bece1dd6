"""Holds every answer that a scenario sees against the OpenAPI document.

A client that a scenario uses calls Contract.check for each answer: the status
must be declared for that method and path, the media type too, every declared
header must be there and of its form, no undeclared one may be, and the body
must match its schema, in which no member is unknown.
"""
import json
import re

import jsonschema

# Headers that belong to HTTP itself and need no declaration.
PLAIN_HEADERS = {
    "date",
    "content-type",
    "content-length",
    "connection",
    "transfer-encoding",
    "cache-control",
    "keep-alive",
    "etag",
    "x-content-type-options",
}


class Contract:
    def __init__(self, document):
        self.document = document
        self.resolver = jsonschema.RefResolver("", document)
        self.validators = {}
        self.paths = []
        self.seen = set()
        for template in document["paths"]:
            pattern = "^" + re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template)) + "$"
            self.paths.append((re.compile(pattern), template))

    def resolve(self, node):
        while "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def path_of(self, target):
        path = target.split("?", 1)[0]
        for pattern, template in self.paths:
            if pattern.match(path):
                return template
        return None

    def response_of(self, method, target, status):
        """The declared response, or an assertion that says what was not declared."""
        shared = self.document["components"]["responses"]
        template = self.path_of(target)
        if template is None:
            known = {"400": "BadRequest", "404": "NotFound", "431": "HeadersTooLarge"}
            assert str(status) in known, f"{method} {target}: {status} on a path that does not exist"
            return shared[known[str(status)]]
        operations = self.document["paths"][template]
        name = "get" if method == "HEAD" else method.lower()
        if name not in operations or method != method.upper():
            known = {"400": "BadRequest", "405": "MethodNotAllowed"}
            assert str(status) in known, f"{method} {target}: {status} for a method that does not exist"
            return shared[known[str(status)]]
        responses = operations[name]["responses"]
        assert str(status) in responses, f"{method} {target}: status {status} is not in the OpenAPI document"
        self.seen.add((template, name, str(status)))
        return self.resolve(responses[str(status)])

    def validate(self, value, schema, what):
        key = id(schema)
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        faults = [
            f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in self.validators[key].iter_errors(value)
        ]
        assert not faults, f"{what} is not as the OpenAPI document says: {faults}"

    def check(self, method, target, answer):
        what = f"{method} {target} -> {answer.status}"
        response = self.response_of(method, target, answer.status)
        declared = {name.lower(): self.resolve(header) for name, header in response.get("headers", {}).items()}
        for name, header in declared.items():
            values = answer.headers_named(name)
            if header.get("required"):
                assert len(values) == 1, f"{what}: header {name} is there {len(values)} times"
            for value in values:
                self.validate(value, header["schema"], f"{what}: header {name}")
        for name, _ in answer.headers:
            assert name.lower() in declared or name.lower() in PLAIN_HEADERS, f"{what}: undeclared header {name}"
        if method == "HEAD":
            assert answer.body == b"", f"{what}: HEAD answered with a body"
            return
        media = (answer.header("Content-Type") or "").split(";")[0].strip().lower()
        assert media in response["content"], f"{what}: media type {media!r}"
        if not media.endswith("json"):
            return
        value = answer.json
        self.validate(value, response["content"][media]["schema"], f"{what}: body {answer.body[:400]!r}")
        if media == "application/problem+json":
            assert value["status"] == answer.status
            assert value["type"] == "urn:simlane:problem:" + value["code"]
            assert value["trace_id"] == answer.header("X-Trace-Id"), f"{what}: two traces"
        elif answer.status in (200, 202) and self.path_of(target) in ("/schedule", "/collect"):
            assert value["trace_id"] == answer.header("X-Trace-Id"), f"{what}: two traces"


def load(path, version=None):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if version is not None:
        text = text.replace("@VERSION@", version)
    return json.loads(text)
