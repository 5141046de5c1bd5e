"""ministack with the one condition key that it leaves out: `dynamodb:LeadingKeys`, the partition key of the item that a request
names. Whether a policy allows it is for ministack's own evaluator to say. (Source: DynamoDB developer guide, "Using IAM policy
conditions for fine-grained access control".)"""

import json
import sys

from ministack.app import main
from ministack.core import iam_actions

# The table's partition key.
KEY = "key"

without = iam_actions.dynamodb_service_context


def with_leading_keys(body):
    """The condition keys of a request, with its item's key."""
    context = dict(without(body) or {})
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return context
    for name in ("Key", "Item"):
        key = (request.get(name) or {}).get(KEY, {}).get("S")
        if key is not None:
            context["dynamodb:LeadingKeys"] = [key]
    return context


iam_actions.dynamodb_service_context = with_leading_keys

if __name__ == "__main__":
    sys.exit(main())
