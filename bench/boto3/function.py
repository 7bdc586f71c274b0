"""A peer of the benchmark: the same calls with boto3, every Region in a thread of its own.

Written as one would write it for speed: clients are made at start, threads and detectors are kept.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import boto3

REGIONS = os.environ["REGIONS"].split(",")
SESSION = boto3.Session()
ORGANIZATIONS = SESSION.client("organizations")
GUARDDUTY = {region: SESSION.client("guardduty", region_name=region) for region in REGIONS}
DETECTORS = {}
THREADS = ThreadPoolExecutor(max_workers=len(REGIONS) + 1)


def handler(event, _context):
    status = event["detail"]["serviceEventDetails"]["createAccountStatus"]
    account = status["accountId"]
    described = THREADS.submit(ORGANIZATIONS.describe_account, AccountId=account)
    outcomes = {region: THREADS.submit(enroll, region, account, described) for region in REGIONS}
    return {region: outcome.result() for region, outcome in outcomes.items()}


def enroll(region, account, described):
    guardduty = GUARDDUTY[region]
    if region not in DETECTORS:
        DETECTORS[region] = guardduty.list_detectors()["DetectorIds"][0]
    detector = DETECTORS[region]
    if is_enabled(guardduty, detector, account):
        return "alreadyEnabled"
    details = {"AccountId": account, "Email": described.result()["Account"]["Email"]}
    reply = guardduty.create_members(DetectorId=detector, AccountDetails=[details])
    for unprocessed in reply["UnprocessedAccounts"]:
        return unprocessed["Result"]
    return "enrolled" if is_enabled(guardduty, detector, account) else "pending"


def is_enabled(guardduty, detector, account):
    reply = guardduty.get_members(DetectorId=detector, AccountIds=[account])
    return any(member["RelationshipStatus"] == "Enabled" for member in reply["Members"])
