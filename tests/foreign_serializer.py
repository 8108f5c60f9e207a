"""Run in an environment that has confluent-kafka and nothing of ours: messages on stdin, JSON Lines, are serialized by Confluent's serializers.

The first line says how, see `tests.foreign.Client.serialized`. Each line printed has the content and the headers, in Base64.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer, prefix_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def main() -> None:
    """Serialize all."""
    form, *messages = map(json.loads, sys.stdin)
    client = SchemaRegistryClient.new_client({"url": form["registry"]})
    conf: dict[str, Any] = {"schema.id.serializer": header_schema_id_serializer if form["by_header"] else prefix_schema_id_serializer}
    if form["kind"] == "AVRO":
        serialize = AvroSerializer(client, form["schema"], conf=conf)
    else:
        serialize = JSONSerializer(form["schema"], client, conf=conf)
    for message in messages:
        context = SerializationContext(form["topic"], MessageField.KEY if form["part"] == "key" else MessageField.VALUE, headers=[])
        content = serialize(message, context)
        headers = [(name, base64.b64encode(value).decode()) for name, value in context.headers]
        json.dump({"content": base64.b64encode(content).decode(), "headers": headers}, sys.stdout)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
