"""Make the bucket of the MLflow server in the store of docker-compose.yml: make_bucket.py NAME. Harmless where it is there."""

from __future__ import annotations

import sys

import boto3

store = boto3.client("s3")
if sys.argv[1] not in {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}:
    store.create_bucket(Bucket=sys.argv[1])
