"""The OpenAPI document itself: whole, consistent, and true to its own examples. Needs no daemon."""
import json
import pathlib
import re

import jsonschema
import pytest

import contract as contracts

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document():
    return contracts.load(ROOT / "openapi" / "simlane.json")


def walk(value, path=""):
    yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}/{index}")


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_no_member_is_there_twice():
    def unique(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), names
        return dict(pairs)

    json.loads((ROOT / "openapi" / "simlane.json").read_text(encoding="utf-8"), object_pairs_hook=unique)


def test_it_is_openapi_3_1_and_waits_for_its_version(document):
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == "@VERSION@"


def test_every_reference_leads_somewhere_and_every_component_is_used(document):
    used = set()
    for path, value in walk(document):
        if path.endswith("/$ref"):
            assert value.startswith("#/"), value
            node = document
            for part in value[2:].split("/"):
                assert part in node, f"{path}: {value} leads nowhere"
                node = node[part]
            used.add(value)
    for kind in ("parameters", "headers", "schemas", "responses"):
        for name in document["components"][kind]:
            if name != "MethodNotAllowed":  # belongs to methods that are not declared
                assert f"#/components/{kind}/{name}" in used, f"{kind}/{name} is not used"


def test_every_schema_is_a_schema(document):
    jsonschema.Draft202012Validator.check_schema({"$defs": document["components"]["schemas"]})
    for path, value in walk(document):
        if path.endswith("/schema"):
            jsonschema.Draft202012Validator.check_schema(value)


def test_every_operation_is_described_and_closed(document):
    names = set()
    for path, method, operation in operations(document):
        assert operation["operationId"] not in names
        names.add(operation["operationId"])
        assert operation["summary"] and operation["tags"] and "security" in operation
        assert {"400", "500"} <= set(operation["responses"])
        assert any(status.startswith("2") for status in operation["responses"])
        if operation["security"]:
            assert {"401", "403"} <= set(operation["responses"]), (path, method)
        if method == "post":
            assert {"413", "415", "422", "503"} <= set(operation["responses"])
            assert list(operation["requestBody"]["content"]) == ["application/json"]
        parameters = {p.get("name") for p in operation.get("parameters", [])}
        assert set(re.findall(r"\{([a-z_]+)\}", path)) <= parameters


def test_every_answer_carries_a_trace(document):
    contract = contracts.Contract(document)
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            assert "X-Trace-Id" in contract.resolve(response)["headers"], (path, method, status)


def test_every_example_is_true_to_its_schema(document):
    contract = contracts.Contract(document)
    count = 0
    for path, value in walk(document):
        if isinstance(value, dict) and "schema" in value and "example" in value:
            contract.validate(value["example"], value["schema"], path)
            count += 1
    assert count > 15


def test_every_code_is_answered_somewhere_and_none_is_unknown(document):
    codes = set(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    answered = set()
    for path, value in walk(document["components"]["responses"]):
        if path.endswith("/properties/code"):
            answered |= set(value.get("enum", [])) | ({value["const"]} if "const" in value else set())
    assert answered == codes


@pytest.mark.parametrize(
    "name",
    [
        "Scheduled",
        "Unfinished",
        "Collected",
        "CancelOutcome",
        "InboxWritten",
        "Job",
        "Health",
        "Probe",
        "Problem",
        "Shard",
        "Receipt",
        "ScheduleRequest",
        "JobRequest",
        "InboxRequest",
    ],
)
def test_a_stray_member_is_caught(document, name):
    assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_the_checker_catches_what_it_should(document):
    """A checker that cannot fail is a defect: each of these must be refused."""
    import wire

    contract = contracts.Contract(document)
    trace = "LT-1767323045678-0a1b2c3d"
    good = {"trace_id": trace, "job_id": "JOB-0123456789ab", "accepted": True}
    headers = [("Content-Type", "application/json"), ("X-Trace-Id", trace), ("Location", "/jobs/JOB-0123456789ab")]

    def answer(status=202, headers=headers, body=good):
        return wire.Answer(status, headers, json.dumps(body).encode())

    contract.check("POST", "/schedule", answer())
    bad = [
        answer(status=200),
        answer(status=418),
        answer(headers=headers[:2]),
        answer(headers=headers[1:]),
        answer(headers=[headers[0], headers[2]]),
        answer(headers=headers + [("X-Powered-By", "x")]),
        answer(headers=headers + [headers[1]]),
        answer(body={**good, "stray": 1}),
        answer(body={**good, "accepted": False}),
        answer(body={**good, "job_id": "JOB-0123456789AB"}),
        answer(body={**good, "trace_id": trace[:-1] + "e"}),
        answer(headers=[("Content-Type", "text/plain"), *headers[1:]]),
    ]
    for wrong in bad:
        with pytest.raises(AssertionError):
            contract.check("POST", "/schedule", wrong)
