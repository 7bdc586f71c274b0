// A peer of the benchmark: the same calls with the AWS SDK for JavaScript, every Region at once.
//
// The loop at the end stands for Lambda's own Node.js runtime, whose package compiles a C++ library with cmake when it
// is installed. It does less than the real one (no context object, no log formatting), so Node.js looks faster here.

import { Agent, request } from "node:http";
import { CreateMembersCommand, GetMembersCommand, GuardDutyClient, ListDetectorsCommand } from "@aws-sdk/client-guardduty";
import { DescribeAccountCommand, OrganizationsClient } from "@aws-sdk/client-organizations";

const regions = process.env.REGIONS.split(",");
const organizations = new OrganizationsClient({});
const guardduty = new Map(regions.map((region) => [region, new GuardDutyClient({ region })]));
const detectors = new Map();

async function handler(event) {
  const account = event.detail.serviceEventDetails.createAccountStatus.accountId;
  const described = organizations.send(new DescribeAccountCommand({ AccountId: account }));
  const outcomes = regions.map(async (region) => [region, await enroll(region, account, described)]);
  return Object.fromEntries(await Promise.all(outcomes));
}

async function enroll(region, account, described) {
  const client = guardduty.get(region);
  if (!detectors.has(region)) {
    const reply = await client.send(new ListDetectorsCommand({}));
    detectors.set(region, reply.DetectorIds[0]);
  }
  const detector = detectors.get(region);
  if (await isEnabled(client, detector, account)) return "alreadyEnabled";
  const details = { AccountId: account, Email: (await described).Account.Email };
  const reply = await client.send(new CreateMembersCommand({ DetectorId: detector, AccountDetails: [details] }));
  if (reply.UnprocessedAccounts.length > 0) return reply.UnprocessedAccounts[0].Result;
  return (await isEnabled(client, detector, account)) ? "enrolled" : "pending";
}

async function isEnabled(client, detector, account) {
  const reply = await client.send(new GetMembersCommand({ DetectorId: detector, AccountIds: [account] }));
  return reply.Members.some((member) => member.RelationshipStatus === "Enabled");
}

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new Agent({ keepAlive: true });

function runtime(method, path, body) {
  return new Promise((resolve, reject) => {
    const call = request({ agent, host, port, method, path: `/2018-06-01/runtime/${path}` }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ id: response.headers["lambda-runtime-aws-request-id"], text: Buffer.concat(chunks).toString() }));
    });
    call.on("error", reject);
    call.end(body);
  });
}

for (;;) {
  const { id, text } = await runtime("GET", "invocation/next");
  try {
    const reply = await handler(JSON.parse(text));
    await runtime("POST", `invocation/${id}/response`, JSON.stringify(reply));
  } catch (error) {
    const problem = { errorType: error.name, errorMessage: error.message };
    await runtime("POST", `invocation/${id}/error`, JSON.stringify(problem));
  }
}
