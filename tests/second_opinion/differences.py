"""Differences between moto and AWS. Each has a name here, and README.md gives its reason."""

import copy
import json
import re
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, utils
from moto.dynamodb import models
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler, DynamoResult
from moto.kms.responses import KmsResponse
from moto.kms.utils import RSAPrivateKey
from moto.servicequotas.responses import ServiceQuotasResponse

README = Path(__file__).with_name("README.md")
ROW = re.compile(r"^\| `([a-z-]+)` \|", re.MULTILINE)


def table_id():
    """Makes DescribeTable return an id of the table."""
    describe = Table.describe

    def with_id(self, base_key="TableDescription"):
        description = describe(self, base_key)
        made = f"{self.table_arn} {self.created_at}"
        description[base_key]["TableId"] = str(uuid.uuid5(uuid.NAMESPACE_URL, made))
        return description

    Table.describe = with_id


def digest():
    """Makes Sign treat a digest as a digest."""
    sign = KmsResponse.sign
    kind = threading.local()

    def sign_typed(self):
        kind.is_digest = self._get_param("MessageType") == "DIGEST"
        return sign(self)

    def sign_digest(self, message, signing_algorithm):
        if not kind.is_digest:
            return raw(self, message, signing_algorithm)
        assert signing_algorithm == "RSASSA_PKCS1_V1_5_SHA_256", signing_algorithm
        # cryptography refuses a digest of another length.
        return self.private_key.sign(message, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))

    raw = RSAPrivateKey.sign
    KmsResponse.sign, RSAPrivateKey.sign = sign_typed, sign_digest


def partiql_insert():
    """Makes BatchExecuteStatement insert by a put with moto's checks, on condition that the item does not exist."""
    insert = re.compile(r"""INSERT INTO "([^"]+)" VALUE \{(('[a-z_]+': \?(, )?)+)\}""")

    def batch(self):
        statements = self.body["Statements"]
        assert 1 <= len(statements) <= 25, "AWS accepts 25 statements at most"
        answers = []
        for statement in statements:
            table, members, *_ = insert.fullmatch(statement["Statement"]).groups()
            names = re.findall(r"'([a-z_]+)'", members)
            self.body = {
                "TableName": table,
                "Item": dict(zip(names, statement["Parameters"], strict=True)),
                "ConditionExpression": "attribute_not_exists(pk)",
            }
            try:
                self.put_item()
                answers.append({"TableName": table})
            except ConditionalCheckFailed:
                error = {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}
                answers.append({"TableName": table, "Error": error})
        return DynamoResult({"Responses": answers})

    DynamoHandler.batch_execute_statement = batch


def transaction_copies():
    """Makes a transaction copy the table once, not once for each of its actions."""
    transact = models.DynamoDBBackend.transact_write_items

    def transact_with_one_copy(self, transact_items):
        tables = {}

        def deepcopy(thing):
            if not isinstance(thing, Table):
                return copy.deepcopy(thing)
            if thing.name not in tables:
                tables[thing.name] = copy.deepcopy(thing)
            return tables[thing.name]

        models.copy = SimpleNamespace(deepcopy=deepcopy)
        try:
            return transact(self, transact_items)
        finally:
            models.copy = copy

    models.DynamoDBBackend.transact_write_items = transact_with_one_copy


def transaction_tokens():
    """Makes a repeated transaction with the same token succeed without a second write."""
    transact = DynamoHandler.transact_write_items
    committed = {}

    def transact_once(self):
        token = self.body.get("ClientRequestToken")
        if token is None or token not in committed:
            committed[token] = transact(self)
        return committed[token]

    DynamoHandler.transact_write_items = transact_once


def default_quotas():
    """Makes Service Quotas return the default of a quota."""
    ServiceQuotasResponse.get_aws_default_service_quota = lambda self: json.dumps({"Quota": {"Value": 1_000.0}})


def parallel_requests():
    """Makes requests run one after the other. The server takes the lock."""
    return threading.Lock()


MENDED = {
    "table-id": table_id,
    "digest": digest,
    "partiql-insert": partiql_insert,
    "transaction-copies": transaction_copies,
    "transaction-tokens": transaction_tokens,
    "default-quotas": default_quotas,
    "parallel-requests": parallel_requests,
}

# Requests that moto lacks, by their path.
ABSENT = {"cloudwatch-cbor": re.compile(r"/service/GraniteServiceVersion20100801/operation/(GetMetricData|DescribeAlarms)")}


def mend():
    """Applies all fixes. Returns the lock under which requests are served."""
    explained = ROW.findall(README.read_text())
    known = [*MENDED, *ABSENT]
    assert explained == known, f"README.md explains {explained}, but this file has {known}"
    return {name: mend() for name, mend in MENDED.items()}["parallel-requests"]
