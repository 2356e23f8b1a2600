"""Where moto differs from AWS: each difference is mended here, under the name by which README.md gives its reason."""

import copy
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

README = Path(__file__).with_name("README.md")
ROW = re.compile(r"^\| `([a-z-]+)` \|", re.MULTILINE)


def table_id():
    """Lets DescribeTable give the table an id."""
    describe = Table.describe

    def with_id(self, base_key="TableDescription"):
        description = describe(self, base_key)
        made = f"{self.table_arn} {self.created_at}"
        description[base_key]["TableId"] = str(uuid.uuid5(uuid.NAMESPACE_URL, made))
        return description

    Table.describe = with_id


def digest():
    """Lets Sign take a digest for a digest."""
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
    """Lets BatchExecuteStatement insert: as a put, with all that moto checks of one, on condition that there is no item."""
    insert = re.compile(r"""INSERT INTO "([^"]+)" VALUE \{(('[a-z_]+': \?(, )?)+)\}""")

    def batch(self):
        statements = self.body["Statements"]
        assert 1 <= len(statements) <= 25, "AWS takes 25 statements at most"
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
    """Lets a transaction copy the table once, not once for each of its actions."""
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


def parallel_requests():
    """Lets one request follow the other. The server takes the lock."""
    return threading.Lock()


MENDED = {
    "table-id": table_id,
    "digest": digest,
    "partiql-insert": partiql_insert,
    "transaction-copies": transaction_copies,
    "parallel-requests": parallel_requests,
}


def mend():
    """Mends all, and gives the lock that requests are served under."""
    explained = ROW.findall(README.read_text())
    assert explained == list(MENDED), f"README.md explains {explained}, but {list(MENDED)} are mended"
    return {name: mend() for name, mend in MENDED.items()}["parallel-requests"]
