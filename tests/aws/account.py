"""The account that is asked, its clients, and the names and the tag of what is made there."""

import os
import re
import secrets
from pathlib import Path

import boto3
from botocore.config import Config

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

NEVER = "This kit was never run on AWS: it was tested against emulators alone."

# What all names begin with, and the key of the tag whose value is the run. Both are needed before anything is removed.
PREFIX = "edkit"
TAG = "ecs-drain-kit"
RUN = re.compile(r"[0-9a-f]{6}")

# The tag of an instance with the cluster that it joins.
CLUSTER_TAG = "ecs-drain-cluster"

# The path of IAM's roles and instance profiles.
PATH = f"/{PREFIX}/"


class Refused(Exception):
    """What was asked for is not done, and why. Nothing was changed."""


def new_run():
    """A name for a run: six hexadecimal digits."""
    return secrets.token_hex(3)


class Account:
    """An account and a region, or an emulator in their place."""

    def __init__(self, region=None, endpoint=None):
        # boto3 itself reads AWS_DEFAULT_REGION alone.
        self.session = boto3.session.Session(region_name=region or os.environ.get("AWS_REGION"))
        self.region, self.endpoint = self.session.region_name, endpoint or os.environ.get("AWS_ENDPOINT_URL")
        if not self.region:
            raise Refused("no region: give --region, or set AWS_REGION")
        self.clients = {}
        identity = self.client("sts").get_caller_identity()
        self.id, self.caller = identity["Account"], identity["Arn"]

    def client(self, service):
        """The client of a service; boto3's are safe to share between threads."""
        if service not in self.clients:
            config = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, read_timeout=60)
            self.clients[service] = self.session.client(service, endpoint_url=self.endpoint, config=config)
        return self.clients[service]

    def pages(self, service, operation, key, **arguments):
        """Every entry of an answer that comes in pages."""
        for page in self.client(service).get_paginator(operation).paginate(**arguments):
            yield from page.get(key, [])

    def settle(self, aws, standin=0):
        """So many seconds: on AWS, or on an emulator."""
        return standin if self.endpoint else aws


def tags(run, **more):
    """The tags of what a run makes, as most services want them."""
    return [{"Key": key, "Value": value} for key, value in {TAG: run, **more}.items()]
