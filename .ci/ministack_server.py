#!/usr/bin/env python3
"""ministack with IAM enforced over TLS, and with what the two stacks need and ministack 1.5.33 has not. It uses private
functions of that version. Everything listens on 127.0.0.1.

Added to ministack:
- AWS::Events::EventBusPolicy, and ReservedConcurrentExecutions of AWS::Lambda::Function.
- An alarm with metric math: taken, and judged by nobody.
- A rule's target that is a bus in another account or Region. The target's role and the bus's policy must allow it.
- A rule's target that is a function is invoked as Lambda invokes asynchronously: three runs, then the on-failure
  destination. The function's policy must allow the rule.
- A mapping or an on-failure destination that the function's role has no permission for is refused when it is made, as
  Lambda does.
- StartMessageMoveTask and ListMessageMoveTasks.
- IAM has no sqs:SendMessageBatch: a batch is authorized as its single action.
- GuardDuty, Organizations and Account Management of the function: a gate asks IAM, then local-aws answers.
- Time is divided by TIME_SCALE: what a client asks SQS to wait, a queue's own visibility timeout when Lambda receives,
  and the waits before Lambda's own retries.

The gate's port also takes what nobody may ask of AWS: POST /emit puts an event of a service on a default bus, and POST
/credentials gives a function's credentials.

Usage: ministack_server.py PORT GATE_PORT LOCAL_AWS_ADDRESS TIME_SCALE
"""

import contextvars
import http.client
import json
import logging
import os
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, GATE_PORT, LOCAL_AWS, TIME_SCALE = sys.argv[1:]
SCALE = int(TIME_SCALE)
GATE = f"http://127.0.0.1:{GATE_PORT}"
os.environ.update(
    GATEWAY_PORT=PORT,
    BIND_HOST="127.0.0.1",
    MINISTACK_HOST="127.0.0.1",
    AUTH="true",
    USE_SSL="1",
    LAMBDA_EXECUTOR="local",
    IOT_MTLS_ENABLED="0",
    SFTP_ENABLED="0",
    LAMBDA_ASYNC_RETRY_BASE_SECONDS=str(60 / SCALE),
    # What the function gets of its surroundings.
    AWS_ENDPOINT_URL=f"https://127.0.0.1:{PORT}",
    AWS_ENDPOINT_URL_GUARDDUTY=GATE,
    AWS_ENDPOINT_URL_ORGANIZATIONS=GATE,
    AWS_ENDPOINT_URL_ACCOUNT=GATE,
)

from ministack.core import tls  # noqa: E402

# Only this certificate is trusted by the function: it calls nobody else.
os.environ["SSL_CERT_FILE"] = os.environ["AWS_CA_BUNDLE"] = tls.resolve_tls_material()[0]

import ministack.app as app  # noqa: E402
from botocore.loaders import Loader  # noqa: E402
from ministack.core import iam_actions, iam_evaluator  # noqa: E402
from ministack.core.lambda_runtime import execution_credentials  # noqa: E402
from ministack.core.responses import (  # noqa: E402
    _request_account_id,
    _request_region,
    get_account_id,
    get_region,
    new_uuid,
)
from ministack.services import eventbridge, lambda_svc, sqs, sts  # noqa: E402
from ministack.services.cloudformation import provisioners  # noqa: E402

LOG = logging.getLogger("stack")
HANDLERS = provisioners._RESOURCE_HANDLERS


def scoped(account, region, function, *arguments):
    """Calls a function as part of a request of this account in this Region, over TLS."""

    def call():
        _request_account_id.set(account)
        _request_region.set(region)
        iam_evaluator.pin_request_origin("127.0.0.1", True)
        return function(*arguments)

    return contextvars.copy_context().run(call)


# -- IAM


def session(role, name="stack"):
    """The access key of a session of a role."""
    account, role_name = role.split(":")[4], role.rsplit("/", 1)[1]
    key = f"ASIASTACK{account}{role_name}"
    arn = f"arn:aws:sts::{account}:assumed-role/{role_name}/{name}"
    sts.register_session(key, {"Arn": arn, "UserId": role_name, "SecretAccessKey": "x", "SessionToken": "x"})
    return key


def denied(key, account, region, action, resource):
    """What IAM says against a call, or None."""
    service = action.split(":")[0]
    result = scoped(account, region, iam_evaluator.enforce, key, action, service, region, resource)
    if result is not None:
        LOG.warning("denied: %s on %s, %s", action, resource, getattr(result, "principal_arn", result))
    return result


def require(function_name, actions, resource, what):
    """Lambda refuses to make a mapping or a destination that the function's role has no permission for."""
    function = provisioners._lambda_function_for_cfn_ref(function_name)[0]
    role = function["config"]["Role"]
    for action in actions:
        if denied(session(role), get_account_id(), get_region(), action, resource):
            raise ValueError(f"{what}: the function's execution role has no permission for {action} on {resource}")


def before(kind, check):
    """Something that is looked at before a resource is made."""
    make = HANDLERS[kind]["create"]

    def create(logical_id, properties, stack_name):
        check(properties)
        return make(logical_id, properties, stack_name)

    HANDLERS[kind] = {**HANDLERS[kind], "create": create}


def check_mapping(properties):
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    require(properties["FunctionName"], actions, properties["EventSourceArn"], "the event source mapping")


def check_destination(properties):
    destination = properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    if destination:
        require(properties["FunctionName"], ["sqs:SendMessage"], destination, "the on-failure destination")


before("AWS::Lambda::EventSourceMapping", check_mapping)
before("AWS::Lambda::EventInvokeConfig", check_destination)

action_of = iam_actions.extract_iam_action


def single_action(service, *arguments):
    action = action_of(service, *arguments)
    return action.removesuffix("Batch") if service == "sqs" and action else action


iam_actions.extract_iam_action = single_action


# -- CloudFormation


def create_bus_policy(_, properties, __):
    bus = eventbridge._event_bus_name_from_ref(properties["EventBusName"])[0]
    if bus not in eventbridge._event_buses:
        raise ValueError(f"there is no event bus {bus}")
    policy = eventbridge._event_bus_policies.setdefault(bus, {"Version": "2012-10-17", "Statement": []})
    policy["Statement"].append({"Sid": properties["StatementId"], **properties["Statement"]})
    return f"{bus}|{properties['StatementId']}", {}


def delete_bus_policy(physical_id, _):
    bus, statement = physical_id.split("|")
    eventbridge._remove_permission({"EventBusName": bus, "StatementId": statement})


HANDLERS["AWS::Events::EventBusPolicy"] = {"create": create_bus_policy, "delete": delete_bus_policy}

alarm = HANDLERS["AWS::CloudWatch::Alarm"]
MATH = "-metric-math"


def create_alarm(logical_id, properties, stack_name):
    if "Metrics" in properties:
        return f"{stack_name}-{logical_id}{MATH}", {}
    return alarm["create"](logical_id, properties, stack_name)


def delete_alarm(physical_id, properties):
    return None if physical_id.endswith(MATH) else alarm["delete"](physical_id, properties)


HANDLERS["AWS::CloudWatch::Alarm"] = {**alarm, "create": create_alarm, "delete": delete_alarm}

create_plain_function = HANDLERS["AWS::Lambda::Function"]["create"]


def create_function(logical_id, properties, stack_name):
    made = create_plain_function(logical_id, properties, stack_name)
    if "ReservedConcurrentExecutions" in properties:
        reserved = {"ReservedConcurrentExecutions": int(properties["ReservedConcurrentExecutions"])}
        lambda_svc._put_function_concurrency(made[0], reserved)
    return made


HANDLERS["AWS::Lambda::Function"] = {**HANDLERS["AWS::Lambda::Function"], "create": create_function}


# -- EventBridge


def invoke_target(target, event, rule, view=None):
    RULE.set((rule, target))
    return invoke_plain_target(target, event, rule, view)


RULE = contextvars.ContextVar("rule")
invoke_plain_target = eventbridge._invoke_target
eventbridge._invoke_target = invoke_target


def dispatch(event, view=None):
    bus = event.get("EventBusName", "default")
    rules = [rule for _, rule in eventbridge._rules.items() if rule.get("EventBusName", "default") == bus]
    patterns = [rule["EventPattern"] for rule in rules if rule.get("EventPattern")]
    if not any(eventbridge._matches_pattern(pattern, event) for pattern in patterns):
        LOG.warning("no rule on the bus %s of account %s takes %s", bus, get_account_id(), event.get("DetailType"))
    return dispatch_plain(event, view)


dispatch_plain = eventbridge._dispatch_event
eventbridge._dispatch_event = dispatch


def send_to_bus(spec, event, rule, path, payload=None):
    if (spec.account_id, spec.region) == (get_account_id(), get_region()):
        return send_to_own_bus(spec, event, rule, path, payload)
    sender, arn, bus = get_account_id(), str(spec), spec.resource.split("/", 1)[1]
    key = session(RULE.get()[1]["RoleArn"])
    if denied(key, sender, spec.region, "events:PutEvents", arn):
        return LOG.warning("the target's role may not put events on %s", arn)

    def arrive():
        if bus not in eventbridge._event_buses:
            return LOG.warning("there is no bus %s", arn)
        call = iam_evaluator.EvalContext(
            f"arn:aws:iam::{sender}:root", "AssumedRole", sender, "events:PutEvents", arn, spec.region
        )
        policy = eventbridge._event_bus_policies.get(bus)
        if iam_evaluator.evaluate_resource_policy(policy, call).decision != "Allow":
            return LOG.warning("the policy of %s does not let account %s send", arn, sender)
        eventbridge._dispatch_event({**event, "EventBusName": bus, "_DispatchPath": []})

    return scoped(spec.account_id, spec.region, arrive)


send_to_own_bus = eventbridge._dispatch_to_event_bus
eventbridge._dispatch_to_event_bus = send_to_bus


def invoke_function(arn, payload):
    function, configuration, name = lambda_svc._get_func_record_for_ref(arn)
    if not function:
        return LOG.warning("there is no function %s", name)
    call = iam_evaluator.EvalContext(
        "events.amazonaws.com", "Service", get_account_id(), "lambda:InvokeFunction", arn, get_region(),
        service_context={"aws:sourcearn": RULE.get()[0]["Arn"], "aws:sourceaccount": get_account_id()},
    )  # fmt: skip
    allowed = iam_evaluator.evaluate_resource_policy(function["policy"], call, service="events.amazonaws.com")
    if allowed.decision != "Allow":
        return LOG.warning("the policy of %s does not let %s invoke it", arn, RULE.get()[0]["Arn"])
    record = lambda_svc._execution_record_for_config(function, configuration)
    settings = {name: function.get(name) for name in ["event_invoke_configs", "event_invoke_config"]}
    lambda_svc.invoke_async_with_retry({**record, **settings}, json.loads(payload))


eventbridge._dispatch_to_lambda = invoke_function


# -- SQS

MOVE_TASKS = []


def start_move_task(data, _):
    source = sqs._queue_by_arn(data["SourceArn"])
    if source is None:
        raise sqs._Err("ResourceNotFoundException", f"There is no queue {data['SourceArn']}.", 404)
    policies = [json.loads(queue["attributes"].get("RedrivePolicy") or "{}") for queue in sqs._queues.values()]
    if data["SourceArn"] not in [policy.get("deadLetterTargetArn") for policy in policies]:
        raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.", 400)
    target = sqs._queue_by_arn(data["DestinationArn"])
    messages, source["messages"] = source["messages"], []
    fresh = {"receive_count": 0, "first_receive_at": None, "receipt_handle": None}
    now = time.time()
    target["messages"] += [{**each, **fresh, "sent_at": now, "visible_at": now} for each in messages]
    task = {"TaskHandle": new_uuid(), "Status": "COMPLETED", "SourceArn": data["SourceArn"]}
    MOVE_TASKS.insert(0, {**task, "ApproximateNumberOfMessagesMoved": len(messages)})
    sqs.esm_wake.set()
    return {"TaskHandle": task["TaskHandle"]}


sqs._HANDLERS["StartMessageMoveTask"] = start_move_task
sqs._HANDLERS["ListMessageMoveTasks"] = lambda data, _: {
    "Results": [task for task in MOVE_TASKS if task["SourceArn"] == data["SourceArn"]]
}


def shorten(operation, member):
    handle = sqs._HANDLERS[operation]

    def shortened(data, url):
        for entry in data.get("Entries", [data]):
            if entry.get(member) not in (None, ""):
                LOG.warning("asked of SQS: %s %s s", operation, entry[member])
                entry[member] = -(-int(entry[member]) // SCALE)
        return handle(data, url)

    sqs._HANDLERS[operation] = shortened


for each in ["ChangeMessageVisibility", "ChangeMessageVisibilityBatch"]:
    shorten(each, "VisibilityTimeout")
for each in ["SendMessage", "SendMessageBatch"]:
    shorten(each, "DelaySeconds")

receive = sqs._receive_messages_for_esm


def receive_for_lambda(queue_url, most):
    messages = receive(queue_url, most)
    wait = int(sqs._queues[queue_url]["attributes"]["VisibilityTimeout"])
    for message in messages:
        message["visible_at"] -= wait - wait / SCALE
    return messages


sqs._receive_messages_for_esm = receive_for_lambda


# -- the gate before local-aws


def operations(service):
    """Each REST operation of a service: its method, a pattern of its path, its name."""
    model = Loader().load_service_model(service, "service-2")
    for name, operation in model["operations"].items():
        path = re.sub(r"\{[^}]+\}", "[^/]+", operation["http"]["requestUri"].split("?")[0])
        yield operation["http"]["method"], path.rstrip("/"), name


REST = {service: list(operations(service)) for service in ["guardduty", "account"]}


class Gate(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def handle_call(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        credential = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", self.headers.get("Authorization", ""))
        if credential:
            self.call(body, *credential.groups())
        else:
            self.control(json.loads(body))

    do_GET = do_POST = do_DELETE = handle_call

    def call(self, body, key, region, service):
        account = iam_evaluator.find_iam_access_key_account(key) or key
        if key in sts._sessions:
            account = sts._sessions[key]["Arn"].split(":")[4]
        action, resource = self.action(body, service, account)
        if denied(key, account, region, f"{service}:{action}", resource):
            text = f"User: {key} is not authorized to perform: {service}:{action} on resource: {resource}"
            answer = json.dumps({"__type": "AccessDeniedException", "message": text}).encode()
            return self.answer(400 if service == "organizations" else 403, answer, "AccessDeniedException")
        connection = http.client.HTTPConnection(urllib.parse.urlparse(LOCAL_AWS).netloc, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            reply = connection.getresponse()
            return self.answer(reply.status, reply.read(), reply.headers.get("x-amzn-errortype"))
        finally:
            connection.close()

    def action(self, body, service, account):
        if service == "organizations":
            name, resource = self.headers["x-amz-target"].split(".")[1], "*"
            if name == "DescribeAccount":
                described = json.loads(body)["AccountId"]
                resource = f"arn:aws:organizations::{os.environ['MANAGEMENT']}:account/o-example/{described}"
            return name, resource
        path = urllib.parse.unquote(self.path.split("?")[0]).rstrip("/")
        known = [each for each in REST[service] if each[0] == self.command and re.fullmatch(each[1], path)]
        name = known[0][2]
        return name, f"arn:aws:account::{account}:account" if service == "account" else "*"

    def control(self, data):
        if self.path == "/credentials":
            function = scoped(data["account"], data["region"], lambda_svc._get_func_record_for_ref, data["function"])[0]
            return self.answer(200, json.dumps(execution_credentials(function["config"])).encode())
        event = data["event"]
        entry = {"Source": event["source"], "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
        put = {"Entries": [{**entry, "Resources": event.get("resources", [])}]}
        status, _, body = scoped(
            event["account"], event["region"], lambda: eventbridge._put_events(put, allow_aws_source=True)
        )
        return self.answer(status, body if isinstance(body, bytes) else body.encode())

    def answer(self, status, body, error=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("x-amzn-errortype", error)
        self.end_headers()
        self.wfile.write(body)


# It would take port 443 too, where it may.
app._port_is_bindable = lambda *_: False
threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", int(GATE_PORT)), Gate).serve_forever, daemon=True).start()
sys.argv[1:] = []
app.main()
