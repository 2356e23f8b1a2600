"""Checks the deployment template in its form for CloudFormation: transformed by SAM, without a network or an account.

    check.py              checks the transformed template, then breaks each rule on purpose
    check.py --list       prints its resources, names and policies
    check.py TEMPLATE     checks another template, such as the one of a release

Needs aws-sam-cli (for samtranslator) and cfn-lint.
"""

import copy
import json
import logging
import os
import pathlib
import sys
import time

os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"  # the translator needs a region; the template must not depend on it

logging.disable(logging.WARNING)

from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = pathlib.Path(__file__).parents[2] / "infra" / "template.yaml"

# Resources whose names are unique within an account, not within a region.
GLOBAL = ("AWS::CloudWatch::Dashboard", "AWS::IAM::", "AWS::S3::", "AWS::CloudFront::", "AWS::Route53::")

# Managed policies change without notice. The only one here is AWS's for X-Ray, while tracing is on.
XRAY = {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AWSXRayDaemonWriteAccess"}
MANAGED_POLICIES = {
    f"{function}FunctionRole": [{"Fn::If": ["Traces", XRAY, {"Ref": "AWS::NoValue"}]}]
    for function in (
        "CreateLicenseKeys",
        "Generate",
        "AssignLicenseKey",
        "RandomAssignLicenseKeys",
        "RandomAssignLicenseKeysQueued",
        "UpdateLicenseKey",
        "ReplaceLicenseKey",
        "GetAvailableLicenseKeysCount",
        "GetLicenseKeys",
        "ProcessOrders",
        "SweepOrders",
    )
} | {"SweepOrdersFunctionEveryMinuteRole": []}


class NoPolicies:
    """A lookup without results: the template must name managed policies by ARN."""

    def load(self):
        return {}


def transformed(source):
    source = copy.deepcopy(source)
    for resource in source["Resources"].values():
        if "CodeUri" in resource["Properties"]:
            resource["Properties"]["CodeUri"] = "s3://bucket/built-by-sam"
    return transform(source, {}, NoPolicies())


def names(resources):
    """Yields the physical names in the template: (logical id, type, property, value)."""
    for logical_id, resource in resources.items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource["Type"]).schema
        create_only = [path.removeprefix("/properties/") for path in schema.get("createOnlyProperties") or []]
        properties = resource.get("Properties", {})
        # A name within another resource of the stack is as unique as that resource.
        if any(refers_to_resource(properties.get(name), resources) for name in create_only):
            continue
        for name in create_only:
            if name.endswith("Name") and name in properties:
                yield logical_id, resource["Type"], name, properties[name]


def refers_to_resource(value, resources):
    if not isinstance(value, dict):
        return False
    target = value.get("Ref") or (value.get("Fn::GetAtt") or [None])[0]
    return target in resources


def faults(template):
    resources = template["Resources"]

    for logical_id, kind, name, value in names(resources):
        text = json.dumps(value)
        if "AWS::StackName" not in text:
            yield f"{logical_id}: {name} is the same for every stack of an account"
        if kind.startswith(GLOBAL) and "AWS::Region" not in text:
            yield f"{logical_id}: {name} is the same in every region of an account"

    attached = {
        logical_id: role["Properties"].get("ManagedPolicyArns", [])
        for logical_id, role in resources.items()
        if role["Type"] == "AWS::IAM::Role"
    }
    if attached != MANAGED_POLICIES:
        yield f"the managed policies are {json.dumps(attached)}"

    for logical_id in ("Table", "SigningKey"):
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            # RetainExceptOnCreate deletes on rollback, and a protected table refuses that: ROLLBACK_FAILED.
            if resources[logical_id].get(policy) != "Retain":
                yield f"{logical_id}: {policy} is not Retain"
    if "SSESpecification" in resources["Table"]["Properties"]:
        yield "Table: encrypted by a KMS key, which costs calls"
    if resources["SigningKey"]["Properties"].get("MultiRegion") is not True:
        yield "SigningKey: not multi-Region, which cannot be changed later"

    asynchronous = [
        (properties["FunctionName"], properties["MaximumRetryAttempts"], properties["MaximumEventAgeInSeconds"])
        for resource in resources.values()
        if resource["Type"] == "AWS::Lambda::EventInvokeConfig"
        for properties in [resource["Properties"]]
    ]
    if asynchronous != [({"Ref": "SweepOrdersFunction"}, 0, 60)]:
        yield f"asynchronous invocations are {asynchronous}"

    for logical_id, function in resources.items():
        if function["Type"] != "AWS::Lambda::Function":
            continue
        properties = function["Properties"]
        if "TracingConfig" in properties:
            yield f"{logical_id}: traced by default"
        reserved = properties.get("ReservedConcurrentExecutions")
        unreserved = logical_id in ("SweepOrdersFunction", "ProcessOrdersFunction")
        if unreserved != (reserved == {"Ref": "AWS::NoValue"}):
            yield f"{logical_id}: its reserved concurrency is {reserved}"

    yield from queue_faults(resources)


def queue_faults(resources):
    queue, dead = resources["OrdersQueue"]["Properties"], resources["OrdersDeadLetterQueue"]["Properties"]
    for logical_id, properties in (("OrdersQueue", queue), ("OrdersDeadLetterQueue", dead)):
        if properties.get("SqsManagedSseEnabled") is not True or "KmsMasterKeyId" in properties:
            yield f"{logical_id}: not encrypted by SQS itself"
        if properties.get("MessageRetentionPeriod") != 14 * 24 * 3600:
            yield f"{logical_id}: messages are not kept for 14 days"
    if queue.get("VisibilityTimeout", 30) < 6 * resources["ProcessOrdersFunction"]["Properties"]["Timeout"]:
        yield "OrdersQueue: a message may come back while the function is at work"
    redrive = queue.get("RedrivePolicy") or {}
    if redrive.get("deadLetterTargetArn") != {"Fn::GetAtt": ["OrdersDeadLetterQueue", "Arn"]}:
        yield "OrdersQueue: no dead letter queue"
    # A callback has about 15 attempts, and each counts as a receive.
    if redrive.get("maxReceiveCount", 0) < 30:
        yield "OrdersQueue: a message dies before its callback does"
    arn = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:" + queue["QueueName"]["Fn::Sub"]
    allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [{"Fn::Sub": arn}]}
    if dead.get("RedriveAllowPolicy") != allowed:
        yield f"OrdersDeadLetterQueue: it takes messages of {dead.get('RedriveAllowPolicy')}"

    sources = [entry["Properties"] for entry in resources.values() if entry["Type"] == "AWS::Lambda::EventSourceMapping"]
    expected = {
        "BatchSize": 10,
        "EventSourceArn": {"Fn::GetAtt": ["OrdersQueue", "Arn"]},
        "FunctionName": {"Ref": "ProcessOrdersFunction"},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": {"Ref": "OrdersConcurrency"}},
    }
    if sources != [expected]:
        yield f"event sources are {json.dumps(sources)}"
    for logical_id in ("RandomAssignLicenseKeysQueuedFunction", "ProcessOrdersFunction", "SweepOrdersFunction"):
        variables = resources[logical_id]["Properties"]["Environment"]["Variables"]
        if variables.get("KEYPOOL_QUEUE") != {"Ref": "OrdersQueue"} or "KEYPOOL_TABLE" not in variables:
            yield f"{logical_id}: its environment is {json.dumps(variables)}"


def lint_faults(template):
    regions = ManualArgs(regions=["us-east-1", "eu-central-1"])
    return [str(match) for match in lint(json.dumps(template), config=regions)]


def broken(source):
    """Yields each rule, broken in the source: (text of the fault, broken source)."""

    def change(edit):
        changed = copy.deepcopy(source)
        edit(changed["Resources"])
        return changed

    def set_in(*path_and_value):
        *path, last, value = path_and_value

        def edit(resources):
            inner = resources
            for step in path:
                inner = inner[step]
            inner[last] = value

        return change(edit)

    def without(*path):
        *path, last = path

        def edit(resources):
            inner = resources
            for step in path:
                inner = inner[step]
            del inner[last]

        return change(edit)

    schedule = ("SweepOrdersFunction", "Properties", "Events", "EveryMinute", "Properties")
    stack_name = {"Ref": "AWS::StackName"}
    yield "SweepOrdersFunctionEveryMinute: Name is the same for every stack", without(*schedule, "OmitName")
    yield "AlarmTopic: TopicName is the same for every stack", set_in("AlarmTopic", "Properties", "TopicName", "alarms")
    yield "ApiLog: LogGroupName is the same for every stack", set_in("ApiLog", "Properties", "LogGroupName", "/api")
    yield (
        "SigningKeyAlias: AliasName is the same for every stack",
        set_in("SigningKeyAlias", "Properties", "AliasName", "alias/keypool"),
    )
    yield (
        "Dashboard: DashboardName is the same in every region",
        set_in("Dashboard", "Properties", "DashboardName", stack_name),
    )
    yield (
        "GenerateFunctionRole: RoleName is the same in every region",
        set_in("GenerateFunctionRole", "Properties", "RoleName", stack_name),
    )
    basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    yield "the managed policies are", set_in("GenerateFunctionRole", "Properties", "ManagedPolicyArns", [basic])
    yield "the managed policies are", without("GenerateFunctionRole", "Properties", "ManagedPolicyArns")
    for logical_id in ("Table", "SigningKey"):
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            yield f"{logical_id}: {policy} is not Retain", set_in(logical_id, policy, "RetainExceptOnCreate")
    yield (
        "Table: encrypted by a KMS key",
        set_in("Table", "Properties", "SSESpecification", {"SSEEnabled": True}),
    )
    yield "SigningKey: not multi-Region", without("SigningKey", "Properties", "MultiRegion")
    yield "asynchronous invocations are", without("SweepOrdersFunction", "Properties", "EventInvokeConfig")
    yield (
        "GenerateFunction: traced by default",
        set_in("GenerateFunction", "Properties", "Tracing", "PassThrough"),
    )
    yield (
        "SweepOrdersFunction: its reserved concurrency is",
        without("SweepOrdersFunction", "Properties", "ReservedConcurrentExecutions"),
    )
    yield (
        "ProcessOrdersFunction: its reserved concurrency is",
        without("ProcessOrdersFunction", "Properties", "ReservedConcurrentExecutions"),
    )
    for logical_id in ("OrdersQueue", "OrdersDeadLetterQueue"):
        yield f"{logical_id}: not encrypted", without(logical_id, "Properties", "SqsManagedSseEnabled")
        yield f"{logical_id}: messages are not kept", set_in(logical_id, "Properties", "MessageRetentionPeriod", 345600)
    yield "OrdersQueue: QueueName is the same for every stack", set_in(
        "OrdersQueue", "Properties", "QueueName", {"Fn::Sub": "orders"}
    )
    yield "OrdersQueue: a message may come back", set_in("ProcessOrdersFunction", "Properties", "Timeout", 61)
    yield "OrdersQueue: no dead letter queue", without("OrdersQueue", "Properties", "RedrivePolicy")
    yield (
        "OrdersQueue: a message dies before",
        set_in("OrdersQueue", "Properties", "RedrivePolicy", "maxReceiveCount", 5),
    )
    yield "OrdersDeadLetterQueue: it takes messages of", without("OrdersDeadLetterQueue", "Properties", "RedriveAllowPolicy")
    event = ("ProcessOrdersFunction", "Properties", "Events", "Orders", "Properties")
    yield "event sources are", without(*event, "FunctionResponseTypes")
    yield "event sources are", without(*event, "ScalingConfig")
    yield "SweepOrdersFunction: its environment is", without("SweepOrdersFunction", "Properties", "Environment")
    yield (
        "GenerateFunction: its reserved concurrency is",
        set_in("GenerateFunction", "Properties", "ReservedConcurrentExecutions", {"Ref": "AWS::NoValue"}),
    )


def listed(template):
    for logical_id, resource in sorted(template["Resources"].items(), key=lambda entry: (entry[1]["Type"], entry[0])):
        kept = resource.get("DeletionPolicy", "")
        print(f"{resource['Type']}  {logical_id}  {kept}".rstrip())
    print("\nnames")
    for logical_id, _, name, value in sorted(names(template["Resources"]), key=lambda entry: entry[0]):
        print(f"  {logical_id}.{name} = {json.dumps(value)}")
    for logical_id, resource in sorted(template["Resources"].items()):
        if resource["Type"] != "AWS::IAM::Role":
            continue
        print(f"\n{logical_id}")
        for arn in resource["Properties"].get("ManagedPolicyArns", []):
            print(f"  managed: {json.dumps(arn)}")
        for policy in resource["Properties"].get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                actions = actions if isinstance(actions, str) else ", ".join(actions)
                print(f"  {statement.get('Sid', '-')}: {actions}")
                print(f"      on {json.dumps(statement['Resource'])}")
                for operator, condition in statement.get("Condition", {}).items():
                    print(f"      if {operator} {json.dumps(condition)}")


def main():
    started = time.monotonic()
    arguments = sys.argv[1:]
    path = TEMPLATE if arguments in ([], ["--list"]) else pathlib.Path(arguments[0])
    source = yaml_parse(path.read_text(encoding="utf-8"))
    template = transformed(source)
    if arguments == ["--list"]:
        listed(template)
        return 0

    found = [*faults(template), *lint_faults(template)]
    count = 0
    for expected, changed in broken(source) if path == TEMPLATE else []:
        count += 1
        if not any(expected in fault for fault in faults(transformed(changed))):
            found.append(f"no fault found for: {expected}")
    for fault in found:
        print(fault)
    seconds = time.monotonic() - started
    print(f"{len(template['Resources'])} resources; {count} broken templates tried; {seconds:.1f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
