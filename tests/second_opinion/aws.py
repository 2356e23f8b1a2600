"""Runs moto's AWS on its own port, records its refusals, and deploys the part of the stack that moto supports."""

import re
import threading
import time
from pathlib import Path

import boto3
import yaml
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

import differences

TEMPLATE = Path(__file__).parents[2] / "infra" / "template.yaml"
TABLE_SETTINGS = ["AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode", "DeletionProtectionEnabled"]
# The functions that sell, named as in the template.
SELLERS = [
    "AssignLicenseKey", "RandomAssignLicenseKeys", "ProcessOrders", "UpdateLicenseKey", "ReplaceLicenseKey",
]
CREDENTIALS = {
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": "local",
}


class Quiet(WSGIRequestHandler):
    """Keeps connections open like AWS, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def is_odd_cancellation(body):
    """True if a transaction was canceled for another reason than a condition."""
    codes = set(re.findall(rb'"Code": *"(\w+)"', body)) if b"TransactionCanceledException" in body else set()
    return not codes <= {b"None", b"ConditionalCheckFailed"}


class Aws:
    """The services and their refusals."""

    def __init__(self):
        self._lock = differences.mend()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._refused, self._called = [], {}
        self.before = lambda operation: None
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __call__(self, environ, start_response):
        operation = environ.get("HTTP_X_AMZ_TARGET", "query API").rpartition(".")[2]
        status = []
        with self._lock:
            self.before(operation)
            self._called[operation] = self._called.get(operation, 0) + 1
            try:
                body = b"".join(self._app(environ, lambda line, headers, *_: status.append((line, headers))))
            except Exception as error:
                body = f"{type(error).__name__}: {error}".encode()
                status.append(("500 INTERNAL SERVER ERROR", []))
        line, headers = status[-1]
        start_response(line, headers)
        path = environ["PATH_INFO"]
        is_unknown = line.startswith("404") and not any(absent.fullmatch(path) for absent in differences.ABSENT.values())
        is_invalid = re.search(rb"Validation(Exception|Error)", body) or is_odd_cancellation(body)
        if line >= "500" or is_unknown or is_invalid:
            self._refused.append(f"{operation}: {line}: {body.decode()[:600]}")
        return [body]

    def take_refused(self):
        """Takes the refusals since the last time."""
        refused, self._refused = self._refused, []
        return refused

    def called(self):
        """Returns the number of calls of each operation."""
        return dict(sorted(self._called.items()))

    def client(self, service):
        return boto3.client(
            service, CREDENTIALS["AWS_REGION"], endpoint_url=self.url, aws_access_key_id="local", aws_secret_access_key="local"
        )

    def deploy(self, stack, api_url):
        """Makes the template's table, the signing key, the queue of orders, and a stack with their names as outputs."""
        table = yaml.safe_load(TEMPLATE.read_text())["Resources"]["Table"]["Properties"]
        dynamodb, kms = self.client("dynamodb"), self.client("kms")
        name = f"{stack}-Table"
        dynamodb.create_table(TableName=name, **{setting: table[setting] for setting in TABLE_SETTINGS})
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=table["TimeToLiveSpecification"])
        dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification=table["PointInTimeRecoverySpecification"]
        )
        tags = [{"TagKey": "keypool", "TagValue": stack}]
        key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Tags=tags)["KeyMetadata"]["Arn"]
        outputs = {"TableName": name, "SigningKeyArn": key, "KeyTag": stack, "ApiUrl": api_url}
        groups = {f"{function}Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"{stack}-{function}"}}
                  for function in SELLERS}
        template = {
            "Resources": groups,
            "Outputs": {output: {"Value": value} for output, value in outputs.items()},
        }
        self.client("cloudformation").create_stack(StackName=stack, TemplateBody=yaml.safe_dump(template))
        queue = self.client("sqs").create_queue(QueueName=f"{stack}-orders")["QueueUrl"]
        return name, key, queue

    def log(self, stack, function, lines):
        """Puts lines of a function into its log group, like Lambda."""
        logs, now = self.client("logs"), int(time.time() * 1_000)
        group = {"logGroupName": f"{stack}-{function}", "logStreamName": "environment"}
        logs.create_log_stream(**group)
        logs.put_log_events(**group, logEvents=[{"timestamp": now, "message": line} for line in lines])
